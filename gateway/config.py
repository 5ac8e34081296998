"""Settings of the gateway, read once from the environment."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, RedisDsn, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator

from shared.settings import HttpAddress, Settings

ROUTES_FILE = Path(__file__).with_name("routes.yaml")


class GatewaySettings(Settings):
    """What the gateway reads besides `shared.settings.Settings`. Times are seconds, sizes are bytes."""

    auth_url: HttpAddress = Field(description="base URL of the auth service, http://host:port")
    profile_url: HttpAddress = Field(description="base URL of the profile service, http://host:port")
    data_url: HttpAddress = Field(description="base URL of the data service, http://host:port")
    notify_url: HttpAddress = Field(description="base URL of the notify service, http://host:port")
    routes_file: Path = Field(ROUTES_FILE, description="the route table")

    tls_bind: str | None = Field(None, description="host:port for TLS, beside BIND, which stays plain HTTP")
    tls_cert_file: str = Field("", description="certificate and chain, PEM; several by commas, chosen by SNI")
    tls_key_file: str = Field("", description="the key of each, PEM")
    tls_handshake_timeout_s: float = Field(10, gt=0, description="time a client has to finish the TLS handshake")
    hsts_max_age_s: int = Field(
        0, ge=0, description="Strict-Transport-Security where the client came over TLS; 0: none"
    )
    ops_bind: str | None = Field(None, description="host:port of /metrics, /status and /readyz, then not on BIND")

    trusted_hops: int = Field(0, ge=0, le=8, description="proxies in front whose X-Forwarded-* are believed")
    cors_origins: str = Field("", description="origins a browser may call from, separated by commas")

    header_timeout_s: float = Field(10, gt=0, description="time a client has for a request's head")
    client_connections: int = Field(16_384, ge=1, description="most client connections, for each worker")
    min_body_bytes_per_s: int = Field(240, ge=0, description="slowest that a body may come for long; 0: any")
    keepalive_s: float = Field(75, gt=0, description="how long an idle client connection is kept")
    max_header_bytes: int = Field(32_768, ge=1024, description="largest request head (431 above)")
    max_target_bytes: int = Field(8_192, ge=256, description="longest request target (414 above)")

    limits_factor: float = Field(1, gt=0, le=1e6, description="by which every limit of the route table is multiplied")
    limit_buckets: int = Field(100_000, ge=2, description="most buckets of each limit, for each worker")
    redis_url: SecretStr | None = Field(
        None, description="redis://host:port/0 of a Redis or Valkey that counts for all"
    )
    limits_timeout_s: float = Field(0.1, gt=0, le=5, description="how long a request waits for Redis to count it")
    limits_without_redis: Literal["open", "closed"] = Field(
        "open", description="what is done when Redis does not answer"
    )

    upstream_keepalive_s: float = Field(30, gt=0, description="idle upstream connections are closed after this time")
    upstream_connections: int = Field(
        512, ge=1, description="most connections to one address of an upstream, for each worker"
    )

    token_cache_size: int = Field(20_000, ge=2, description="verified tokens kept, for each worker")
    jwks_refresh_s: float = Field(300, gt=0, description="how often the public keys are fetched again")
    revocations_wait_s: float = Field(2, ge=0, description="how long a new worker waits to catch up before it accepts")

    @field_validator("redis_url")
    @classmethod
    def _is_an_address(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            if value is not None:
                TypeAdapter(RedisDsn).validate_python(value.get_secret_value())
        except ValidationError as error:
            raise ValueError(error.errors(include_input=False, include_url=False)[0]["msg"]) from None
        return value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        certificates, keys = _listed(self.tls_cert_file), _listed(self.tls_key_file)
        if self.tls_bind and not certificates:
            raise ValueError("TLS_BIND needs TLS_CERT_FILE and TLS_KEY_FILE")
        if certificates and not self.tls_bind:
            raise ValueError("TLS_CERT_FILE needs TLS_BIND")
        if len(certificates) != len(keys):
            raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE must name as many files")
        return self

    @property
    def tls_files(self) -> list[tuple[Path, Path]]:
        """Pairs of certificate and key; none without TLS."""
        certificates, keys = _listed(self.tls_cert_file), _listed(self.tls_key_file)
        return [(Path(certificate), Path(key)) for certificate, key in zip(certificates, keys, strict=True)]

    @property
    def binds(self) -> dict[str, str]:
        """What each listener is for, and its address, in the order in which gunicorn is told of them."""
        found = {"public": self.bind, "tls": self.tls_bind, "operator": self.ops_bind}
        return {name: address for name, address in found.items() if address}

    @property
    def allowed_origins(self) -> frozenset[str]:
        return frozenset(_listed(self.cors_origins))

    @property
    def public_url(self) -> str:
        """The gateway's address as clients know it: what every token names, without auth's prefix."""
        return self.issuer.removesuffix("/auth/v1")

    @property
    def names(self) -> dict[str, str]:
        """The names a route table may refer to, as `${AUTH_URL}`."""
        return {
            "AUTH_URL": self.auth_url,
            "PROFILE_URL": self.profile_url,
            "DATA_URL": self.data_url,
            "NOTIFY_URL": self.notify_url,
        }


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
