"""Who asks for passkeys, and the pages and apps that may ask in its name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

ANDROID = "android:apk-key-hash:"
ANDROID_KEY_HASH = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of a SHA-256
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class RelyingParty:
    """`id` is the domain that passkeys are bound to; `origins` are the only places they may be shown at."""

    id: str
    name: str
    origins: tuple[str, ...]

    @classmethod
    def of(cls, party_id: str, name: str, named: Sequence[str], public_url: str) -> "RelyingParty":
        """Without an id or named origins, those of `public_url`. Raise ValueError for an origin that is not its own.

        An iOS app's origin is the domain itself, so that one is always among them.
        """
        public = urlsplit(public_url)
        party_id, own = party_id or public.hostname or "", f"{public.scheme}://{public.netloc}"
        for origin in named:
            if not may_ask(origin, party_id):
                raise ValueError(f"{origin} may not ask for passkeys of {party_id}")
        origins = [f"https://{party_id}", *(named or ([own] if may_ask(own, party_id) else []))]
        return cls(party_id, name, tuple(dict.fromkeys(origins)))


def may_ask(origin: str, party_id: str) -> bool:
    """An Android app by the hash of its signing key, or a page under the domain: over TLS, unless on this machine."""
    if origin.startswith(ANDROID):
        return ANDROID_KEY_HASH.fullmatch(origin.removeprefix(ANDROID)) is not None
    parts = urlsplit(origin)
    host = parts.hostname or ""
    is_bare = origin == f"{parts.scheme}://{parts.netloc}" and "@" not in origin
    is_below = host == party_id or host.endswith(f".{party_id}")
    return is_bare and is_below and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))
