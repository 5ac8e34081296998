"""Settings of one process: read once from the environment, frozen, every mistake reported at once."""

import os
import sys
from typing import TypeVar

from pydantic import AmqpDsn, Field, HttpUrl, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound=BaseSettings)


class Settings(BaseSettings):
    """What every component reads. A component's `config.py` adds its own names.

    A secret may come from a file instead: with SECRETS_DIR=/run/secrets, AMQP_URL is read from /run/secrets/amqp_url.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    bind: str = Field("127.0.0.1:8000", description="host:port the web process listens on")
    worker_bind: str = Field("127.0.0.1:8010", description="host:port of the worker's health and metrics")
    web_workers: int = Field(1, ge=1, le=64, description="gunicorn worker processes")
    web_threads: int = Field(8, ge=1, le=256, description="threads in each worker process")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level that is logged")
    amqp_url: SecretStr = Field(description="amqp://user:password@host:port/vhost of RabbitMQ")
    issuer: str = Field(description="`iss` of every access token: the public base URL + /auth/v1")
    audience: str = Field("gatehouse", description="`aud` of every access token")
    jwks_url: str = Field(description="where the public keys are, e.g. http://auth:8000/auth/v1/.well-known/jwks.json")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="largest request body accepted, bytes")

    def model_post_init(self, context: object) -> None:
        TypeAdapter(AmqpDsn).validate_python(self.amqp_url.get_secret_value())
        TypeAdapter(HttpUrl).validate_python(self.jwks_url)


def load(settings_class: type[S]) -> S:
    """Read the settings or end the process with status 2 and one line for each wrong name (values are never shown)."""
    secrets_dir = os.environ.get("SECRETS_DIR")
    try:
        return settings_class(_secrets_dir=secrets_dir)
    except ValidationError as error:
        lines = [f"  {_name(e['loc'])}: {e['msg']}" for e in error.errors(include_input=False, include_url=False)]
        sys.stderr.write(f"{len(lines)} setting(s) are wrong:\n" + "\n".join(lines) + "\n")
        sys.exit(2)


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location).upper() or "(settings)"
