"""Commands of the auth service: `python -m services.auth serve | worker | migrate | token | keys | secrets | …`."""

import argparse
import os
import sys

from services.auth import audit_export, keys, ownership, resealing, roles, store, worker
from services.auth.audit import note
from services.auth.config import MIGRATIONS, AuthSettings
from services.auth.keys import FRESH_S
from services.auth.oauth import commands as oauth
from services.auth.parts import Parts
from services.auth.scopes import ADMIN
from services.auth.tokens import mint_service_token
from services.auth.user_import import import_users
from shared import logs
from shared.errors import UnprocessableContent
from shared.settings import load


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    settings = load(AuthSettings)
    return int(options.run(settings, options))


def _serve(settings: AuthSettings, _: argparse.Namespace) -> int:
    command = ["gunicorn", "-c", "shared/gunicorn_conf.py", "services.auth.app:create_app()"]
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 — the process becomes gunicorn


def _work(settings: AuthSettings, _: argparse.Namespace) -> int:
    return worker.main(settings)


def _migrate(settings: AuthSettings, _: argparse.Namespace) -> int:
    logs.configure("auth", settings.log_level)
    parts = Parts.of(settings)
    ownership.migrate(parts.db, settings, settings.database_url, MIGRATIONS)
    with parts.db.transaction() as conn:
        keys.make_first_key(conn, parts.sealer)
    return 0


def _token(settings: AuthSettings, options: argparse.Namespace) -> int:
    if options.lifetime_s > settings.key_retire_s - FRESH_S:
        print("a token must not outlive the key that signs it: KEY_RETIRE_S", file=sys.stderr)
        return 2
    parts = Parts.of(settings)
    key = parts.keys.signing_key()
    with parts.db.transaction() as conn:
        note(conn, "service_token.made", None, name=options.name, scope=options.scope, lifetime_s=options.lifetime_s)
    print(mint_service_token(settings, key, options.name, options.scope, options.lifetime_s).token)
    return 0


def _list_keys(settings: AuthSettings, _: argparse.Namespace) -> int:
    with Parts.of(settings).db.transaction() as conn:
        for row in store.list_signing_keys(conn):
            print(f"{row.kid}  {row.state:13}  {row.created_at.isoformat(timespec='seconds')}")
    return 0


def _rotate_keys(settings: AuthSettings, _: argparse.Namespace) -> int:
    parts = Parts.of(settings)
    try:
        with parts.db.transaction() as conn:
            publish_s, retire_s = settings.key_publish_s, settings.key_retire_s
            print(keys.rotate(conn, parts.sealer, publish_s=publish_s, retire_s=retire_s))
            note(conn, "keys.rotated", None)
    except keys.TooEarly as error:
        print(f"too early: {error}", file=sys.stderr)
        return 1
    return 0


def _revoke_key(settings: AuthSettings, options: argparse.Namespace) -> int:
    parts = Parts.of(settings)
    try:
        with parts.db.transaction() as conn:
            print(keys.revoke(conn, parts.sealer, options.kid))
            note(conn, "key.revoked", None, kid=options.kid)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 1
    return 0


def _import(settings: AuthSettings, options: argparse.Namespace) -> int:
    db = Parts.of(settings).db
    with options.file as lines:
        outcome = import_users(db, lines)
    with db.transaction() as conn:
        note(conn, "users.imported", None, imported=outcome.imported, present=outcome.present)
    print(
        f"{outcome.imported} users imported, {outcome.present} were there already, {len(outcome.wrong)} lines are wrong"
    )
    for mistake in outcome.wrong:
        print(mistake, file=sys.stderr)
    return 1 if outcome.wrong else 0


def _change_role(settings: AuthSettings, options: argparse.Namespace) -> int:
    try:
        with Parts.of(settings).db.transaction() as conn:
            person = roles.find_by_address(conn, options.email)
            if options.verb == "grant":
                roles.require_known(settings, options.role)
                roles.grant(conn, person, options.role)
            else:
                roles.revoke(conn, person, options.role)
    except (LookupError, UnprocessableContent) as error:
        print(error.args[0], file=sys.stderr)
        return 1
    return 0


def _reencrypt(settings: AuthSettings, options: argparse.Namespace) -> int:
    logs.configure("auth", settings.log_level)
    parts = Parts.of(settings)
    done = [resealing.reseal(parts.db, parts.sealer, column, batch=options.batch) for column in resealing.SEALED]
    for one in done:
        print(f"{one.column}: {one.resealed} encrypted again, {one.stuck} cannot be opened")
    return 1 if any(one.stuck for one in done) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.auth")
    verbs = parser.add_subparsers(required=True, metavar="verb")
    verbs.add_parser("serve", help="answer requests (gunicorn)").set_defaults(run=_serve)
    verbs.add_parser("worker", help="bring events to the broker, delete what has expired").set_defaults(run=_work)
    verbs.add_parser("migrate", help="bring the schema up to date, make the first key").set_defaults(run=_migrate)
    token = verbs.add_parser("token", help="print an access token for a service or an operator's program")
    token.add_argument("--scope", required=True, help="what it may do, e.g. messages:send")
    token.add_argument("--name", default="operator", help="whose it is; the same name has the same id always")
    token.add_argument("--lifetime-s", type=_lifetime, default=3_600, help="at most a day, for keys retire")
    token.set_defaults(run=_token)
    key_verbs = verbs.add_parser("keys", help="the keys that sign").add_subparsers(required=True, metavar="verb")
    key_verbs.add_parser("list").set_defaults(run=_list_keys)
    key_verbs.add_parser("rotate", help="publish the next key, or let it sign").set_defaults(run=_rotate_keys)
    revoke = key_verbs.add_parser("revoke", help="forget a key at once, and every token that it signed")
    revoke.add_argument("kid")
    revoke.set_defaults(run=_revoke_key)
    importing = verbs.add_parser("import", help="add users of another system, one JSON object a line")
    importing.add_argument("file", type=argparse.FileType(encoding="utf-8"))
    importing.set_defaults(run=_import)
    admin_verbs = verbs.add_parser("admin", help="who administers users").add_subparsers(required=True, metavar="verb")
    for verb in ("grant", "revoke"):
        changing = admin_verbs.add_parser(verb)
        changing.add_argument("email")
        changing.add_argument("--role", default=ADMIN, help="another one, of ROLE_SCOPES")
        changing.set_defaults(run=_change_role, verb=verb)
    oauth.add_parser(verbs)
    audit_export.add_parser(verbs)
    secret_verbs = verbs.add_parser("secrets", help="secrets at rest").add_subparsers(required=True, metavar="verb")
    reencrypt = secret_verbs.add_parser("reencrypt", help="bring all of them under the first key of SECRET_KEYS")
    reencrypt.add_argument("--batch", type=int, default=resealing.BATCH, help="rows a transaction")
    reencrypt.set_defaults(run=_reencrypt)
    return parser


def _lifetime(text: str) -> int:
    lifetime_s = int(text)
    if not 1 <= lifetime_s <= keys.SERVICE_TOKEN_MAX_S:
        raise argparse.ArgumentTypeError(f"between 1 and {keys.SERVICE_TOKEN_MAX_S}")
    return lifetime_s


if __name__ == "__main__":
    sys.exit(main())
