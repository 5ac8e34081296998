"""Settings of one process: read once from the environment, frozen, every mistake reported at once."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AmqpDsn,
    Field,
    HttpUrl,
    MongoDsn,
    PostgresDsn,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T", str, SecretStr)


def _is_a(kind: Any) -> AfterValidator:
    """The text stays as it is written, but must be a URL of this kind; the refusal does not show it."""
    adapter = TypeAdapter(kind)

    def check(value: T) -> T:
        try:
            adapter.validate_python(value.get_secret_value() if isinstance(value, SecretStr) else value)
        except ValidationError as error:
            raise ValueError(error.errors(include_input=False, include_url=False)[0]["msg"]) from None
        return value

    return AfterValidator(check)


HttpAddress = Annotated[str, _is_a(HttpUrl)]
AmqpUrl = Annotated[SecretStr, _is_a(AmqpDsn)]
PostgresUrl = Annotated[SecretStr, _is_a(PostgresDsn)]
MongoUrl = Annotated[SecretStr, _is_a(MongoDsn)]


class Settings(BaseSettings):
    """What every component reads. A component's `config.py` adds its own names.

    A secret may come from a file instead: with SECRETS_DIR=/run/secrets, AMQP_URL is read from /run/secrets/amqp_url.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    bind: str = Field("127.0.0.1:8000", description="host:port the web process listens on")
    worker_bind: str = Field("127.0.0.1:8010", description="host:port of the worker's health and metrics")
    web_workers: int = Field(1, ge=1, le=64, description="gunicorn worker processes")
    web_threads: int = Field(8, ge=1, le=256, description="threads in each worker process")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level that is logged")
    amqp_url: AmqpUrl = Field(description="amqp://user:password@host:port/vhost of RabbitMQ")
    issuer: str = Field(description="`iss` of every access token: the public base URL + /auth/v1")
    audience: str = Field("gatehouse", description="`aud` of every access token")
    jwks_url: HttpAddress = Field(
        description="where the public keys are, e.g. http://auth:8000/auth/v1/.well-known/jwks.json"
    )
    absent_services: str = Field(
        "",
        pattern="^([a-z]+(,[a-z]+)*)?$",
        description="services that are not deployed, like `data,notify`: no event is kept for them",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="largest request body accepted, bytes")

    @property
    def services_left_out(self) -> frozenset[str]:
        return frozenset(filter(None, self.absent_services.split(",")))


def load(settings_class: type[S]) -> S:
    """Read the settings or end the process with status 2 and one line for each wrong name (values are never shown)."""
    secrets_dir = os.environ.get("SECRETS_DIR")
    wrong = []
    if secrets_dir and not Path(secrets_dir).is_dir():
        wrong.append("SECRETS_DIR: there is no such folder")
        secrets_dir = None
    try:
        settings = settings_class(_secrets_dir=secrets_dir)
    except ValidationError as error:
        mistakes = error.errors(include_input=False, include_url=False)
        wrong += [f"{_name(one['loc'])}: {one['msg'].removeprefix('Value error, ')}" for one in mistakes]
    except SettingsError as error:
        wrong.append(str(error))
    if not wrong:
        return settings
    sys.stderr.write(f"{len(wrong)} setting(s) are wrong:\n" + "".join(f"  {line}\n" for line in wrong))
    sys.exit(2)


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location).upper() or "(settings)"
