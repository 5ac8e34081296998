"""What a request says of the device it comes from: words for a person's own list of sessions, no proof of anything."""

import ipaddress
import re
from dataclasses import dataclass

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
ANDROID_MODEL = re.compile(r"Android [^;)]+; ([^;)]{2,40}?)(?: Build/[^;)]*)?[;)]")


@dataclass(frozen=True)
class Device:
    name: str
    user_agent: str
    ip: str | None


def device_of(request: Request) -> Device:
    """Name, user agent and address of the client; the gateway writes X-Forwarded-For anew, so its first entry holds."""
    user_agent = _clean(request.headers.get("User-Agent", ""))
    said = f"{request.headers.get('X-Client-Info', '')} {user_agent}"
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")[0].strip()
    return Device(_name(said), user_agent, _address(forwarded) or _address(request.remote_addr or ""))


def _name(said: str) -> str:
    if model := ANDROID_MODEL.search(said):
        return _clean(model[1])
    lower = said.lower()
    return next((name for sign, name in NAMES if sign in lower), "Unknown device")


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:MAX_LENGTH]


def _address(text: str) -> str | None:
    try:
        return None if "%" in text else str(ipaddress.ip_address(text))
    except ValueError:
        return None
