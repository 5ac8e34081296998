"""What a route asks of a request beside its token: that it is open, and that the app that calls is not too old."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.problems import UpgradeRequired
from gateway.versions import key
from shared.errors import Unavailable

if TYPE_CHECKING:
    from gateway.request import Request


@dataclass(slots=True)
class Closure:
    """Maintenance: what people are told, and when apps may ask again."""

    detail: str
    retry_after_s: int

    def problem(self) -> Unavailable:
        return Unavailable(self.detail, code="maintenance", retry_after_s=self.retry_after_s)


class Minimum:
    """The oldest version that may call."""

    def __init__(self, version: str, store_url: str) -> None:
        self.version, self.store_url = version, store_url
        self._key = key(version)

    def admits(self, version: str) -> bool:
        """False for one that is older, or cannot be read."""
        found = key(version)
        return found is not None and self._key is not None and found >= self._key


class Minimums:
    """The oldest versions by platform, and the fields in which an app says what it is."""

    def __init__(self, platform_header: str, version_header: str, by_platform: Mapping[bytes, Minimum]) -> None:
        self._platform = platform_header.lower().encode() + b":"
        self._version = version_header.lower().encode() + b":"
        self._by_platform = dict(by_platform)

    def check(self, request: "Request") -> None:
        """Raise UpgradeRequired for an app that is too old; one that does not say what it is passes."""
        minimum = self._by_platform.get((_value(request, self._platform) or b"").lower())
        if minimum is None:
            return
        version = _value(request, self._version)
        if version is not None and not minimum.admits(version.decode("latin-1")):
            raise UpgradeRequired(minimum.version, minimum.store_url)


def _value(request: "Request", start: bytes) -> bytes | None:
    """The value of a field as it goes on to the upstream."""
    size = len(start)
    for field in request.fields:
        if field[:size].lower() == start:
            return field[size:].strip()
    return None


@dataclass(slots=True)
class Conditions:
    """Of one route; most have none."""

    closure: Closure | None
    minimums: Minimums | None

    def check(self, request: "Request") -> None:
        """Raise the Problem that stands in the way."""
        if self.closure is not None:
            raise self.closure.problem()
        if self.minimums is not None:
            self.minimums.check(request)
