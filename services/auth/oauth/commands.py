"""`python -m services.auth oauth clients …`: clients as whoever runs the service registers them.

Only here a client can become one of the house (`--first-party`), which may ask for people's whole access, or a service
(`--service`), which gets a token of its own. Who has only an administrator's session cannot.
"""

import argparse
import sys
from collections.abc import Callable
from typing import TextIO
from uuid import UUID

from services.auth import audit, store
from services.auth.config import AuthSettings
from services.auth.oauth import clients
from services.auth.oauth.client_models import require_name
from services.auth.oauth.clients import BASIC, CODE, NONE, OWN, PERSONAL, REFRESH
from services.auth.oauth.endings import end_grants_of_client
from services.auth.oauth.redirects import require_registrable
from services.auth.parts import Parts
from shared.ids import new_id

BATCH = 1000


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb `oauth`."""
    oauth = verbs.add_parser("oauth", help="clients of the OAuth provider")
    of_clients = oauth.add_subparsers(required=True, metavar="noun").add_parser("clients")
    client_verbs = of_clients.add_subparsers(required=True, metavar="verb")
    add = client_verbs.add_parser("add", help="register a client; prints its id, and its secret if it has one")
    add.add_argument("name", type=_name, help="what people are shown")
    add.add_argument("--redirect-uri", action="append", default=[], type=_place, help="may be given again")
    add.add_argument("--post-logout-redirect-uri", action="append", default=[], type=_place)
    add.add_argument("--scope", help="space-separated; without it everything that tells who somebody is")
    add.add_argument("--resource", action="append", default=[], type=_resource, help="an API it may ask for, or is")
    kinds = add.add_mutually_exclusive_group()
    kinds.add_argument("--public", action="store_true", help="an app on people's devices: it can keep no secret")
    kinds.add_argument("--service", action="store_true", help="no person: a token of its own at the house's API")
    kinds.add_argument("--resource-server", action="store_true", help="an API that asks what tokens are worth")
    add.add_argument("--first-party", action="store_true", help="an app of the house: it may ask for people's sessions")
    add.set_defaults(run=_add)
    client_verbs.add_parser("list").set_defaults(run=_list)
    change = client_verbs.add_parser("change", help="set what is given; new places replace those before")
    change.add_argument("client_id", type=UUID)
    change.add_argument("--name", type=_name)
    change.add_argument("--redirect-uri", action="append", type=_place)
    change.add_argument("--post-logout-redirect-uri", action="append", type=_place)
    change.set_defaults(run=_change)
    secret = client_verbs.add_parser("secret", help="another secret in place of the one before; prints it")
    secret.add_argument("client_id", type=UUID)
    secret.set_defaults(run=_secret)
    remove = client_verbs.add_parser("remove", help="with everything that anybody granted to it")
    remove.add_argument("client_id", type=UUID)
    remove.set_defaults(run=_remove)


def _add(settings: AuthSettings, options: argparse.Namespace) -> int:
    try:
        new, secret = _wanted(options)
    except ValueError as error:
        _say(str(error), sys.stderr)
        return 2
    with Parts.of(settings).db.transaction() as conn:
        client = store.insert_oauth_client(conn, new)
        audit.note(conn, "client.created", client.id, first_party=client.is_first_party, service=options.service)
    _say(f"client_id={client.id}")
    if secret is not None:
        _say(f"client_secret={secret}")
    return 0


def _wanted(options: argparse.Namespace) -> tuple[store.NewClient, str | None]:
    """What to register, and its secret. Raise ValueError for what does not go together."""
    asks_people = not (options.service or options.resource_server)
    if asks_people != bool(options.redirect_uri):
        raise ValueError("a client that asks people needs --redirect-uri; a service or an API has none")
    if options.service and not options.scope:
        raise ValueError("a service needs --scope: what it may do")
    if options.resource_server and not options.resource:
        raise ValueError("an API needs --resource: which one it is")
    if options.first_party and not asks_people:
        raise ValueError("--first-party is for clients that ask people")
    scopes = clients.require_scopes(options.scope.split() if options.scope else PERSONAL)
    secret, secret_hash = (None, None) if options.public else clients.new_secret()
    new = store.NewClient(
        id=new_id(),
        name=options.name,
        secret_hash=secret_hash,
        auth_method=NONE if options.public else BASIC,
        redirect_uris=options.redirect_uri,
        post_logout_redirect_uris=options.post_logout_redirect_uri,
        grant_types=[CODE, REFRESH] if asks_people else [OWN] if options.service else [],
        scopes=scopes if asks_people or options.service else [],
        resources=options.resource,
        is_first_party=options.first_party,
    )
    return new, secret


def _list(settings: AuthSettings, _: argparse.Namespace) -> int:
    with Parts.of(settings).db.transaction() as conn:
        for client in store.list_oauth_clients(conn, skip=0, limit=BATCH):
            kind = "public" if client.is_public else "confidential"
            _say(f"{client.id}  {kind:12}  {_whose(client):15}  {client.name}  {' '.join(client.redirect_uris)}")
    return 0


def _whose(client: clients.Client) -> str:
    if client.is_first_party:
        return "first-party"
    if client.is_resource_server:
        return "resource server"
    return "service" if OWN in client.grant_types else "third-party"


def _change(settings: AuthSettings, options: argparse.Namespace) -> int:
    with Parts.of(settings).db.transaction() as conn:
        client = store.update_oauth_client(
            conn,
            options.client_id,
            name=options.name,
            redirect_uris=options.redirect_uri,
            post_logout_redirect_uris=options.post_logout_redirect_uri,
            grant_types=None,
            auth_method=None,
            client_uri=None,
            logo_uri=None,
        )
        if client is not None:
            audit.note(conn, "client.changed", client.id)
    return 0 if client is not None else _unknown(options.client_id)


def _secret(settings: AuthSettings, options: argparse.Namespace) -> int:
    secret, secret_hash = clients.new_secret()
    with Parts.of(settings).db.transaction() as conn:
        client = store.update_oauth_secret(conn, options.client_id, secret_hash)
        if client is not None:
            audit.note(conn, "client.secret_set", client.id)
    if client is None:
        return _unknown(options.client_id, "with a secret ")
    _say(f"client_secret={secret}")
    return 0


def _remove(settings: AuthSettings, options: argparse.Namespace) -> int:
    with Parts.of(settings).db.transaction() as conn:
        end_grants_of_client(conn, options.client_id)
        is_gone = store.delete_oauth_client(conn, options.client_id)
        if is_gone:
            audit.note(conn, "client.deleted", options.client_id)
    return 0 if is_gone else _unknown(options.client_id)


def _unknown(client_id: UUID, what: str = "") -> int:
    _say(f"there is no client {what}{client_id}", sys.stderr)
    return 1


def _say(line: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(f"{line}\n")


def _name(text: str) -> str:
    return _checked(require_name, text)


def _place(text: str) -> str:
    return _checked(require_registrable, text)


def _resource(text: str) -> str:
    return _checked(clients.require_resource, text)


def _checked(check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} {error}") from error
