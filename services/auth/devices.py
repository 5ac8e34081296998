"""What a request says of the device it comes from: words for a person's own list of sessions, no proof of anything."""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from flask import Request

MAX_LENGTH = 200
# In this order: an Android browser also says Linux, an iPad may also say Macintosh.
NAMES = (
    ("iphone", "iPhone"),
    ("ipad", "iPad"),
    ("ios", "iPhone or iPad"),
    ("android", "Android"),
    ("okhttp", "Android"),
    ("windows", "Windows"),
    ("macintosh", "Mac"),
    ("macos", "Mac"),
    ("linux", "Linux"),
)
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
ANDROID_MODEL = re.compile(r"Android [^;)]+; ([^;)]{2,40}?)(?: Build/[^;)]*)?[;)]")


PLATFORMS = {
    "iPhone": "ios",
    "iPad": "ios",
    "iPhone or iPad": "ios",
    "Android": "android",
    "Windows": "windows",
    "Mac": "macos",
    "Linux": "linux",
}


@dataclass(frozen=True)
class Device:
    name: str
    user_agent: str
    ip: str | None
    platform: str = ""
    app_version: str = ""


def device_of(request: Request) -> Device:
    """Name, user agent and address of the client; the gateway writes X-Forwarded-For anew, so its first entry holds."""
    said = request.headers.get
    return _device(
        said("User-Agent", ""),
        said("X-Client-Info", ""),
        said("X-Forwarded-For", ""),
        request.remote_addr or "",
        said("X-App-Platform", ""),
        said("X-App-Version", ""),
    )


@lru_cache(4096)
def _device(user_agent: str, client_info: str, forwarded: str, remote: str, platform: str, version: str) -> Device:
    user_agent = _clean(user_agent)
    said = f"{client_info} {user_agent}"
    model, kind = ANDROID_MODEL.search(said), _kind(said)
    return Device(
        _clean(model[1]) if model else kind,
        user_agent,
        _address(forwarded.split(",")[0].strip()) or _address(remote),
        _word(platform).lower() or PLATFORMS.get(kind, ""),
        _word(version),
    )


def _kind(said: str) -> str:
    lower = said.lower()
    return next((name for sign, name in NAMES if sign in lower), "Unknown device")


def _word(text: str) -> str:
    """What an app says in one short word, as the gateway reads it too; anything else is nothing."""
    return text if WORD.fullmatch(text) else ""


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:MAX_LENGTH]


def _address(text: str) -> str | None:
    """`::ffff:192.0.2.1` is 192.0.2.1 on a socket that takes both: all of IPv4 would look like one network of IPv6."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return None if "%" in text else str(mapped or found)
