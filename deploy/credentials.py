"""Every password and key of one installation, made at random: as files for Compose, as Secret objects for Kubernetes.

    python3 -m deploy.credentials compose [--simulators] [--public-url URL]    # needs nothing but Python 3.11
    python3 -m deploy.credentials kubernetes [--simulators] | kubectl create -n gatehouse -f -

What exists is never replaced: a second `compose` changes nothing, and `kubectl create` refuses names that are taken.
With --simulators notify gets the files it needs to talk to the provider simulators (that needs .venv's Python).
"""

import argparse
import base64
import json
import secrets
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local import broker_permissions

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "deploy" / "compose"
COMPONENTS = ["gateway", "auth", "profile", "data", "notify"]
DATABASES = ["auth", "profile", "notify"]
OWNERS = {"auth": "auth_owner"}  # who owns a database instead of the role that works with it; for `migrate` alone

Files = dict[str, str]


@dataclass(frozen=True)
class Hosts:
    """Where the servers are, as a pod or a container names them."""

    postgres: str
    postgres_options: str
    rabbitmq: str
    mongo: str


COMPOSE_HOSTS = Hosts(postgres="postgres:5432", postgres_options="", rabbitmq="rabbitmq:5672", mongo="mongo:27017")
KUBERNETES_HOSTS = Hosts(
    postgres="postgres-rw:5432",
    postgres_options="?sslmode=prefer",
    rabbitmq="rabbitmq:5672",
    mongo=",".join(f"mongo-{member}.mongo-svc:27017" for member in range(3)),  # dev has the first one only
)


def password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Passwords:
    """One for each account of each server; nobody shares one."""

    postgres: Files = field(
        default_factory=lambda: {role: password() for role in ("postgres", *DATABASES, *OWNERS.values())}, repr=False
    )
    rabbitmq: Files = field(default_factory=lambda: {user: password() for user in broker_permissions.USERS}, repr=False)
    mongo: Files = field(
        default_factory=lambda: {"root": password(), "data": password(), "keyfile": secrets.token_hex(128)}, repr=False
    )
    secret_key: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(32)).decode(), repr=False)


def of_component(component: str, passwords: Passwords, hosts: Hosts) -> Files:
    """What the component reads from SECRETS_DIR: one file for each secret setting of its config.py."""
    files = {
        "amqp_url": f"amqp://{component}:{passwords.rabbitmq[component]}@{hosts.rabbitmq}/{broker_permissions.VHOST}"
    }
    if component in DATABASES:
        files["database_url"] = database_url(component, component, passwords, hosts)
    if component == "data":
        files["mongo_url"] = (
            f"mongodb://data:{passwords.mongo['data']}@{hosts.mongo}/?replicaSet=mongo&authSource=admin"
        )
    if component == "auth":
        files["secret_keys"] = passwords.secret_key
    return files


def for_migrations(component: str, passwords: Passwords, hosts: Hosts) -> Files:
    """What only the component's `migrate` reads, beside what the component does."""
    return {"migrate_database_url": database_url(component, OWNERS[component], passwords, hosts)}


def database_url(database: str, role: str, passwords: Passwords, hosts: Hosts) -> str:
    address = f"{role}:{passwords.postgres[role]}@{hosts.postgres}"
    return f"postgresql://{address}/{database}{hosts.postgres_options}"


def of_simulators(host: str) -> Files:
    """The simulators' own files, with a certificate for the name `host`."""
    from deploy.local.simulators import credentials  # needs the `cryptography` library

    with tempfile.TemporaryDirectory() as folder:
        credentials.prepare(Path(folder), host=host)
        return {path.name: path.read_text() for path in Path(folder).iterdir()}


def for_sender(simulators: Mapping[str, str]) -> Files:
    """Those of the simulators' files that notify needs, under the names that real providers' files have there too."""
    (key,) = [name for name in simulators if name.startswith("AuthKey_")]
    return {
        "fcm-service-account.json": simulators["fcm-service-account.json"],
        "apns-key.p8": simulators[key],
        "apns_key_id": key.removeprefix("AuthKey_").removesuffix(".p8"),
        "simulators-ca.pem": simulators["ca.pem"],
    }


def compose(folder: Path, public_url: str, *, with_simulators: bool) -> None:
    """Write `.env` and the secrets that compose.yaml mounts. Raise FileExistsError if they are there."""
    env, kept = folder / ".env", folder / "deploy" / "compose" / "secrets"
    for path in (env, kept):
        if path.exists():
            raise FileExistsError(f"{path} is there already; the servers' volumes were made with its passwords.")
    passwords = Passwords()
    folders = {component: of_component(component, passwords, COMPOSE_HOSTS) for component in COMPONENTS}
    for component in OWNERS:
        folders[f"{component}-migrate"] = folders[component] | for_migrations(component, passwords, COMPOSE_HOSTS)
    folders["postgres"] = passwords.postgres
    folders["mongo"] = passwords.mongo
    folders["rabbitmq"] = {"definitions.json": json.dumps(broker_permissions.definitions(passwords.rabbitmq), indent=2)}
    folders["operator"] = {"rabbitmq-admin": passwords.rabbitmq[broker_permissions.ADMIN]}
    if with_simulators:
        folders["simulators"] = of_simulators("simulators")
        folders["notify"] |= for_sender(folders["simulators"])
    # Others may read a file, for the containers' users are not ours; nobody but us can come to the folder.
    kept.mkdir(mode=0o700, parents=True)
    for name, files in folders.items():
        (kept / name).mkdir(mode=0o755)
        for file, text in files.items():
            (kept / name / file).write_text(text)
            (kept / name / file).chmod(0o644)
    lines = [f"PUBLIC_URL={public_url}"]
    if with_simulators:
        lines += ["COMPOSE_PROFILES=dev", "NOTIFY_ENV=deploy/compose/notify-simulators.env"]
    env.write_text("\n".join(lines) + "\n")


def kubernetes(*, with_simulators: bool) -> dict[str, Any]:
    """A List of Secrets: one for each component, and those the servers of both overlays are made from."""
    passwords = Passwords()
    found = {f"{component}-secrets": of_component(component, passwords, KUBERNETES_HOSTS) for component in COMPONENTS}
    for component in OWNERS:
        found[f"{component}-migrate-secrets"] = for_migrations(component, passwords, KUBERNETES_HOSTS)
    if with_simulators:
        found["simulators"] = of_simulators("simulators")
        found["notify-secrets"] |= for_sender(found["simulators"])
    found["postgres-passwords"] = passwords.postgres  # dev
    found["mongo-passwords"] = passwords.mongo  # dev
    found["rabbitmq-definitions"] = {"definitions.json": json.dumps(broker_permissions.definitions(passwords.rabbitmq))}
    found["mongo-data"] = {"password": passwords.mongo["data"]}  # production: MongoDBCommunity
    for user in COMPONENTS:  # production: the topology operator's users
        found[f"rabbitmq-{user}"] = {"username": user, "password": passwords.rabbitmq[user]}
    secrets_ = [secret(name, files) for name, files in found.items()]
    for role in (*DATABASES, *OWNERS.values()):  # production: CloudNativePG's managed roles
        basic = secret(f"postgres-{role.replace('_', '-')}", {"username": role, "password": passwords.postgres[role]})
        basic["type"] = "kubernetes.io/basic-auth"
        basic["metadata"]["labels"]["cnpg.io/reload"] = "true"
        secrets_.append(basic)
    return {"apiVersion": "v1", "kind": "List", "items": secrets_}


def secret(name: str, files: Files) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "gatehouse"}},
        "type": "Opaque",
        "stringData": files,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m deploy.credentials", description=__doc__.partition("\n")[0])
    parser.add_argument("where", choices=["compose", "kubernetes"])
    parser.add_argument("--simulators", action="store_true", help="send to the simulators instead of real providers")
    parser.add_argument(
        "--public-url", default="http://localhost:8080", help="the gateway as clients reach it (compose)"
    )
    options = parser.parse_args()
    if options.where == "kubernetes":
        json.dump(kubernetes(with_simulators=options.simulators), sys.stdout, indent=2)
        return 0
    try:
        compose(ROOT, options.public_url.rstrip("/"), with_simulators=options.simulators)
    except FileExistsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"wrote {ROOT / '.env'} and {COMPOSE / 'secrets'}; now: docker compose up --build --wait\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
