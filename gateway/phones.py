"""What the route table says for the apps out there: too old, deprecated, closed for a while, or linked to this host."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.conditions import Closure, Conditions, Minimum, Minimums
from gateway.versions import key


def _version(value: str) -> str:
    if key(value) is None:
        raise ValueError("a version is like 2, 2.4.1 or 2.4.1-rc.1")
    return value


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


Version = Annotated[str, AfterValidator(_version)]
Link = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://[!#-;=?-~]+$", max_length=500)]
Moment = Annotated[datetime, AfterValidator(_utc)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$", max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MinimumEntry(_Strict):
    """The oldest version of an app that may call, and where a newer one is."""

    version: Version
    store_url: Link


class ClientsEntry(_Strict):
    """The oldest app of each platform that may call. A request that names no platform or no version passes."""

    platform_header: HeaderName = "X-App-Platform"
    version_header: HeaderName = "X-App-Version"
    minimum: dict[Annotated[str, Field(pattern="^[a-z0-9-]+$")], MinimumEntry]
    exempt: list[str] = []

    def minimums(self) -> Minimums:
        by_platform = {name.encode(): Minimum(entry.version, entry.store_url) for name, entry in self.minimum.items()}
        return Minimums(self.platform_header, self.version_header, by_platform)


class MaintenanceEntry(_Strict):
    """As long as this stands in the table, `upstreams` are closed: all of them, or those named."""

    upstreams: Literal["all"] | list[str] = "all"
    retry_after_s: Annotated[int, Field(ge=1, le=604_800)] = 300
    detail: Line = "This is closed for maintenance; please come back in a while."
    exempt: list[str] = []

    def closes(self, upstream: str) -> bool:
        return self.upstreams == "all" or upstream in self.upstreams


class DeprecationEntry(_Strict):
    """`Deprecation` (RFC 9745), `Sunset` (RFC 8594) and a link that tells what to use instead."""

    deprecated_at: Moment
    sunset_at: Moment | None = None
    link: Link | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.sunset_at and self.sunset_at < self.deprecated_at:
            raise ValueError("sunset_at is not before deprecated_at")
        return self

    def fields(self) -> bytes:
        """The rendered header fields."""
        lines = [f"deprecation: @{int(self.deprecated_at.timestamp())}"]
        if self.sunset_at:
            lines.append(f"sunset: {format_datetime(self.sunset_at.astimezone(UTC), usegmt=True)}")
        if self.link:
            lines.append(f'link: <{self.link}>; rel="deprecation"')
        return "".join(f"{line}\r\n" for line in lines).encode()


class AndroidApp(_Strict):
    package: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$")]
    sha256_cert_fingerprints: list[Annotated[str, Field(pattern="^([0-9A-F]{2}:){31}[0-9A-F]{2}$")]]


class AppsEntry(_Strict):
    """The apps that may open this host's links and use its passkeys. `links` are paths, `*` for anything."""

    android: list[AndroidApp] = []
    apple: list[Annotated[str, Field(pattern=r"^[A-Z0-9]{10}\.[A-Za-z0-9.-]+$")]] = []
    links: list[Annotated[str, Field(pattern=r"^/[!-~]*$")]] = []

    def assetlinks(self) -> list[dict[str, Any]]:
        """Digital Asset Links, as Android reads them at `/.well-known/assetlinks.json`."""
        uses = ["handle_all_urls"] if self.links else []
        relation = [f"delegate_permission/common.{use}" for use in (*uses, "get_login_creds")]
        return [
            {
                "relation": relation,
                "target": {
                    "namespace": "android_app",
                    "package_name": app.package,
                    "sha256_cert_fingerprints": app.sha256_cert_fingerprints,
                },
            }
            for app in self.android
        ]

    def site_association(self) -> dict[str, Any]:
        """What iOS reads at `/.well-known/apple-app-site-association`."""
        document: dict[str, Any] = {"webcredentials": {"apps": self.apple}}
        if self.links:
            components = [{"/": path} for path in self.links]
            document["applinks"] = {"details": [{"appIDs": self.apple, "components": components}]}
        return document


def conditions(
    upstream: str, path: str, maintenance: MaintenanceEntry | None, clients: ClientsEntry | None
) -> Conditions | None:
    """What a route to this upstream at this path asks of every request; None if nothing."""
    closure = minimums = None
    if maintenance and maintenance.closes(upstream) and not _is_below(path, maintenance.exempt):
        closure = Closure(maintenance.detail, maintenance.retry_after_s)
    if clients and not _is_below(path, clients.exempt):
        minimums = clients.minimums()
    return Conditions(closure, minimums) if closure or minimums else None


def _is_below(path: str, exempt: Iterable[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in exempt)


def unknown(
    maintenance: MaintenanceEntry | None, clients: ClientsEntry | None, upstreams: Mapping[str, Any], paths: set[str]
) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """The places that name an upstream or a route the table does not have, each with what is wrong."""
    if maintenance and maintenance.upstreams != "all":
        for number, name in enumerate(maintenance.upstreams):
            if name not in upstreams:
                yield ("maintenance", "upstreams", number), f"{name!r} is not one of: {', '.join(sorted(upstreams))}"
    for section, entry in (("maintenance", maintenance), ("clients", clients)):
        for number, path in enumerate(entry.exempt if entry else ()):
            if not any(_is_below(known, [path]) for known in paths):
                yield (section, "exempt", number), f"no route is at or below {path}"
