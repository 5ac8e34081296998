"""Places an app may be led to after a link: which are allowed, and how a session, a code or an error is put on them.

The rules are those of supabase/auth, stricter where an address could be read in two ways: `*` stands for any characters
but `.` and `/`, `**` for any, `?` for one that is neither; none of them reaches from the host into the path or back.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

FORBIDDEN_SCHEMES = frozenset({"", "javascript", "data", "vbscript", "file", "blob"})
WEB = frozenset({"http", "https"})
MAX_LENGTH = 2048
UNCLEAR = re.compile(
    r"[\x00-\x20\x7f\\]|[^\x00-\x7f]"
)  # what browsers drop, turn into a slash, or spell in another way
HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)
TOKEN = re.compile(r"\*\*|\*|\?|[^*?]+")


class Places:
    """The site itself, whatever its path, and the patterns of `redirect_urls`."""

    def __init__(self, site_url: str, redirect_urls: Iterable[str]) -> None:
        self._site = site_url.strip()
        self._patterns = [_compile(pattern) for pattern in redirect_urls]

    def allows(self, place: str | None) -> bool:
        """True if an app may name it. What cannot be read in one way only is refused."""
        if not place or len(place) > MAX_LENGTH or UNCLEAR.search(place):
            return False
        try:
            parts = urlsplit(place)
            is_site = bool(self._site) and _origin(parts) == _origin(urlsplit(self._site))
            if parts.scheme.lower() in FORBIDDEN_SCHEMES or "@" in parts.netloc:
                return False
            if is_site and parts.scheme.lower() in WEB:
                return True
            if parts.scheme.lower() in WEB and not is_plain_host(parts.hostname or ""):
                return False
        except ValueError:
            return False
        head, rest = _halves(place.split("#", 1)[0])
        return place == self._site or any(
            authority.fullmatch(head) and path.fullmatch(rest) for authority, path in self._patterns
        )

    def choose(self, wanted: str | None) -> str | None:
        """The place an app asked for if it is allowed, else the site, else None."""
        return wanted if wanted and self.allows(wanted) else self._site or None


def with_fragment(place: str, values: Mapping[str, object]) -> str:
    """The place with these in its fragment, which a browser tells no server."""
    return f"{place.split('#', 1)[0]}#{urlencode(values)}"


def with_query(place: str, values: Mapping[str, object]) -> str:
    """The place with these in its query, beside what is there; the fragment goes."""
    path, _, query = place.split("#", 1)[0].partition("?")
    return f"{path}?{urlencode([*parse_qsl(query, keep_blank_values=True), *values.items()])}"


def form_source(place: str) -> str:
    """The place as a source in `form-action`: its origin, or the scheme of an app."""
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme.lower() in WEB else f"{parts.scheme}:"


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Without the port on loopback: RFC 8252, section 7.3, lets an app choose it."""
    host = parts.hostname
    return parts.scheme.lower(), host, None if host in ("localhost", "127.0.0.1", "::1") else parts.port


def is_plain_host(host: str) -> bool:
    """A name, or an address of this very machine: not a number that a browser would take for an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        last = host.rsplit(".", 1)[-1]
        return HOST.fullmatch(host) is not None and not re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", last)


def _halves(place: str) -> tuple[str, str]:
    """`https://host:1/path?x` as `https://host:1` and `/path?x`."""
    scheme, separator, rest = place.partition("://")
    if not separator:
        return place, ""
    end = re.search(r"[/?]", rest)
    cut = end.start() if end else len(rest)
    return f"{scheme}://{rest[:cut]}", rest[cut:]


def _compile(pattern: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    scheme, separator, rest = pattern.strip().partition("://")
    cut = rest.find("/") if "/" in rest else len(rest)
    head, path = f"{scheme}{separator}{rest[:cut]}", rest[cut:]
    if not path and head.endswith("**"):
        path = "**"
    return _regex(head, anything="[^/?#]", one="[^./?#]"), _regex(path, anything=".", one="[^./]")


def _regex(pattern: str, *, anything: str, one: str) -> re.Pattern[str]:
    meanings = {"**": f"{anything}*", "*": f"{one}*", "?": one}
    return re.compile("".join(meanings.get(part, re.escape(part)) for part in TOKEN.findall(pattern)))
