"""The environment of every component of the local platform: one table, component by component.

Secrets are written to a folder for each component, which it reads through SECRETS_DIR, as it does in Kubernetes.
"""

import base64
import json
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.local import broker_permissions, simulators
from deploy.local.mongo import Mongo
from deploy.local.postgres import Postgres
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.secret_files import SecretFiles
from deploy.local.settings import Settings

COMPONENTS = ["gateway", "auth", "profile", "data", "notify"]
DATABASES = ["auth", "profile", "notify"]
OWNERS = {"auth": "auth_owner"}  # databases that belong to another role than the one that works with them


@dataclass(frozen=True)
class Environment:
    plain: dict[str, str]
    secret: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class Servers:
    """The three servers as this platform configures them; making the objects starts nothing."""

    postgres: Postgres
    rabbitmq: RabbitMQ
    mongo: Mongo
    database_passwords: dict[str, str] = field(repr=False)

    def database_url(self, name: str, role: str | None = None) -> str:
        role = role or name
        return self.postgres.url(role, self.database_passwords[role], name)


def servers(settings: Settings) -> Servers:
    kept = SecretFiles(settings.secrets)
    return Servers(
        postgres=Postgres(
            settings.home / "postgres",
            settings.port_of("postgres"),
            kept.get("postgres/postgres"),
            log=settings.logs / "postgres.log",
        ),
        rabbitmq=RabbitMQ(
            settings.home / "rabbitmq",
            settings.port_of("rabbitmq"),
            dist_port=settings.port_of("rabbitmq-dist"),
            epmd_port=settings.port_of("epmd"),
            management_port=settings.port_of("rabbitmq-management"),
            prometheus_port=settings.port_of("rabbitmq-prometheus"),
            passwords={user: kept.get(f"rabbitmq/{user}") for user in broker_permissions.USERS},
            cookie=kept.get("rabbitmq/erlang-cookie"),
            log=settings.logs / "rabbitmq.log",
        ),
        mongo=Mongo(settings.home / "mongo", settings.port_of("mongo"), log=settings.logs / "mongo.log"),
        database_passwords={name: kept.get(f"postgres/{name}") for name in (*DATABASES, *OWNERS.values())},
    )


def credentials(settings: Settings) -> simulators.Credentials:
    ports = simulators.Ports(
        web=settings.port_of("simulators"), apns=settings.port_of("apns"), smtp=settings.port_of("smtp")
    )
    return simulators.prepare(settings.home / "simulators", ports)


def environments(settings: Settings, on: Servers, sender: simulators.Credentials) -> dict[str, Environment]:
    """What each component needs to run here; a component and its worker share one."""
    kept = SecretFiles(settings.secrets)
    public_url = settings.url_of("gateway")
    table = {
        "gateway": Environment(
            {name: settings.url_of(name.removesuffix("_URL").lower())
             for name in ("AUTH_URL", "PROFILE_URL", "DATA_URL", "NOTIFY_URL")}
            | {"OPS_BIND": settings.address_of("gateway-ops")}
            | {"LIMITS_FACTOR": "1000"},  # here every phone has the same address
            {},
        ),
        "auth": Environment(
            {
                "PUBLIC_URL": public_url,
                "SITE_URL": public_url,
                "GUESTS": "true",
                **dict.fromkeys(("LOG_IN_TRIES_PER_PLACE", "SMS_PER_PLACE", "MAILS_PER_PLACE"), "100000"),  # as above
                # Browsers take no address for a passkey's domain, and this name without TLS.
                "WEBAUTHN_RP_ID": "localhost",
                "WEBAUTHN_ORIGINS": public_url.replace("127.0.0.1", "localhost"),
            },
            {
                "SECRET_KEYS": kept.get("auth/secret-key", lambda: base64.b64encode(secrets.token_bytes(32)).decode()),
                # Somebody else's accounts, where a provider is started at that port, as `make clients` does.
                "PROVIDERS": json.dumps(
                    {"example": {"issuer": settings.url_of("provider"), "client_ids": ["web", "app"]}}
                ),
                # No SMS leaves this machine.
                "TEST_CODES": "+15550100001=100001,+15550100002=100002,+15550100003=100003",
            },
        ),
        "profile": Environment({}, {}),
        "data": Environment({"MONGO_DATABASE": "data"}, {"MONGO_URL": on.mongo.url}),
        "notify": Environment(
            {
                "FCM_PROJECT_ID": sender.project_id,
                "FCM_SERVICE_ACCOUNT_FILE": str(sender.service_account_file),
                "FCM_BASE_URL": sender.fcm_url,
                "APNS_URL": f"https://{sender.host}:{sender.ports.apns}",
                "APNS_KEY_FILE": str(sender.apns_key_file),
                "APNS_KEY_ID": sender.key_id,
                "APNS_TEAM_ID": sender.team_id,
                "APNS_TOPIC": sender.topic,
                "APNS_CA_FILE": str(sender.ca_file),
                "SMTP_HOST": sender.host,
                "SMTP_PORT": str(sender.ports.smtp),
                "SMTP_FROM": "no-reply@gatehouse.example",
                "SMTP_CA_FILE": str(sender.ca_file),
            },
            {},
        ),
    }  # fmt: skip
    for component, environment in table.items():
        environment.plain.update(common(settings, component))
        environment.secret["AMQP_URL"] = on.rabbitmq.url(component)
        if component in DATABASES:
            environment.secret["DATABASE_URL"] = on.database_url(component)
    return table


def for_migrations(settings: Settings, component: str, environment: Environment, on: Servers) -> dict[str, str]:
    """The variables of `migrate`, where it gets more than the component: the role that owns the database."""
    if component not in OWNERS:
        return {}
    secret = {"MIGRATE_DATABASE_URL": on.database_url(component, OWNERS[component])}
    own = replace(environment, secret=environment.secret | secret)
    return process_environment(settings, f"{component}-migrations", own)


def common(settings: Settings, component: str) -> dict[str, str]:
    values = {
        "BIND": settings.address_of(component),
        "ISSUER": settings.url_of("gateway") + "/auth/v1",
        "AUDIENCE": "gatehouse",
        "JWKS_URL": settings.url_of("auth") + "/auth/v1/.well-known/jwks.json",
        "LOG_LEVEL": "INFO",
        "WEB_WORKERS": "1",
        "WEB_THREADS": "8",
    }
    if component != "gateway":
        values["WORKER_BIND"] = settings.address_of(f"{component}-worker")
    return values


def secrets_folder(settings: Settings, component: str) -> Path:
    return settings.secrets / "components" / component


def process_environment(settings: Settings, component: str, environment: Environment) -> dict[str, str]:
    """Write the component's secrets and return the variables its process gets."""
    folder = SecretFiles(secrets_folder(settings, component))
    folder.write_all({name.lower(): value for name, value in environment.secret.items()})
    return environment.plain | {"SECRETS_DIR": str(folder.folder)}
