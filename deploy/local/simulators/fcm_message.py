"""The shape of an FCM v1 message, as the public reference gives it, and what is wrong with one.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

import json
import re
from typing import Any

MAX_PAYLOAD_BYTES = 4096
MAX_TTL_S = 28 * 24 * 3600

FCM_OPTIONS = {"analytics_label": str}
ANDROID_NOTIFICATION = {
    **dict.fromkeys(
        (
            "title", "body", "icon", "color", "sound", "tag", "click_action", "body_loc_key", "title_loc_key",
            "channel_id", "ticker", "image", "event_time",
        ),
        str,
    ),
    **{name: [str] for name in ("body_loc_args", "title_loc_args", "vibrate_timings")},
    **dict.fromkeys(("sticky", "local_only", "default_sound", "default_vibrate_timings"), bool),
    **dict.fromkeys(("default_light_settings", "bypass_proxy_notification"), bool),
    "notification_priority": (
        "PRIORITY_UNSPECIFIED", "PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX",
    ),
    "visibility": ("VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"),
    "proxy": ("PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"),
    "notification_count": int,
    "light_settings": dict,
}  # fmt: skip
MESSAGE = {
    "name": str,
    "data": {"*": str},
    "notification": {"title": str, "body": str, "image": str},
    "android": {
        "collapse_key": str,
        "priority": ("NORMAL", "HIGH", "normal", "high"),
        "ttl": str,
        "restricted_package_name": str,
        "data": {"*": str},
        "notification": ANDROID_NOTIFICATION,
        "fcm_options": FCM_OPTIONS,
        "direct_boot_ok": bool,
        "bandwidth_constrained_ok": bool,
        "restricted_satellite_ok": bool,
    },
    "webpush": {
        "headers": {"*": str},
        "data": {"*": str},
        "notification": dict,
        "fcm_options": {"link": str, "analytics_label": str},
    },
    "apns": {
        "headers": {"*": str},
        "payload": dict,
        "fcm_options": {"analytics_label": str, "image": str},
        "live_activity_token": str,
    },
    "fcm_options": FCM_OPTIONS,
    "token": str,
    "topic": str,
    "condition": str,
}
REQUEST = {"validate_only": bool, "message": MESSAGE}
TARGETS = ("token", "topic", "condition")

_TYPES = {str: "TYPE_STRING", int: "TYPE_INT32", bool: "TYPE_BOOL"}
_RESERVED_DATA_KEY = re.compile(r"from|message_type|notification|google\..*|gcm\..*|google", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9_:%-]{20,4096}")
_TOPIC = re.compile(r"[A-Za-z0-9_.~%-]{1,900}")
_DURATION = re.compile(r"(\d+)(\.\d{1,9})?s")

Violation = tuple[str, str]


def shape_violations(request: Any) -> list[Violation]:
    """(field, description) for everything that does not parse as the request's protocol buffer."""
    found: list[Violation] = []
    _check(request, REQUEST, "", found)
    message = request.get("message") if isinstance(request, dict) else None
    if isinstance(message, dict):
        targets = [name for name in message if name in TARGETS]
        found += [
            ("message", f"Invalid value at 'message' (oneof), oneof field 'target' is already set. Cannot set '{name}'")
            for name in targets[1:]
        ]
    return found


def _check(value: Any, shape: Any, path: str, found: list[Violation]) -> None:
    if value is None:
        return  # in a protocol buffer's JSON form, null is a field left out
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            found.append((path, f"Invalid value at '{path}' (type.googleapis.com), {json.dumps(value)}"))
        elif "*" in shape:
            for index, item in enumerate(value.values()):
                _check(item, shape["*"], f"{path}[{index}].value", found)
        else:
            for name, item in value.items():
                known = re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)
                if known not in shape:
                    where = f" at '{path}'" if path else ""
                    text = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
                    found.append((path, text))
                else:
                    _check(item, shape[known], f"{path}.{known}" if path else known, found)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            found.append((path, f"Invalid value at '{path}' ({_TYPES[shape[0]]}), {json.dumps(value)}"))
        else:
            for index, item in enumerate(value):
                _check(item, shape[0], f"{path}[{index}]", found)
    elif isinstance(shape, tuple):
        if value not in shape:
            found.append((path, f"Invalid value at '{path}' (TYPE_ENUM), {json.dumps(value)}"))
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        found.append((path, f"Invalid value at '{path}' ({_TYPES.get(shape, 'TYPE_MESSAGE')}), {json.dumps(value)}"))


def content_violation(message: dict[str, Any]) -> Violation | None:
    """The first thing that parses but that FCM refuses to send."""
    target = next((name for name in TARGETS if message.get(name)), None)
    if target is None:
        return "message", "Recipient of the message is not set."
    if target == "token" and not _TOKEN.fullmatch(message["token"]):
        return "message.token", "The registration token is not a valid FCM registration token"
    if target == "topic" and not _TOPIC.fullmatch(message["topic"].removeprefix("/topics/")):
        return "message.topic", "Invalid topic name"
    for field, data in (("data", message.get("data")), ("android.data", _part(message, "android").get("data"))):
        for key in data or {}:
            if _RESERVED_DATA_KEY.fullmatch(key):
                return f"message.{field}", f"Invalid data payload key: {key}"
    ttl = _part(message, "android").get("ttl")
    if ttl is not None:
        match = _DURATION.fullmatch(ttl)
        if not match:
            return "message.android.ttl", "Illegal duration format; duration must end with 's'"
        if int(match[1]) > MAX_TTL_S:
            return "message.android.ttl", f"Invalid ttl: {ttl}; at most {MAX_TTL_S} seconds"
    if payload_bytes(message) > MAX_PAYLOAD_BYTES:
        return "message", "Message is too big"
    return None


def payload_bytes(message: dict[str, Any]) -> int:
    """What the largest platform message would carry: keys and values of data and notification, or the APNs payload."""
    common = _size(message.get("data")) + _size(message.get("notification"))
    android, web = _part(message, "android"), _part(message, "webpush")
    return max(
        common,
        _size(android.get("data") or message.get("data"))
        + _size({**(message.get("notification") or {}), **(android.get("notification") or {})}),
        _size(web.get("data")) + _size(web.get("notification")),
        _size(_part(message, "apns").get("payload")),
    )


def _part(message: dict[str, Any], name: str) -> dict[str, Any]:
    return message.get(name) or {}


def _size(value: Any) -> int:
    if not value:
        return 0
    if all(isinstance(item, str) for item in value.values()):
        return sum(len(_utf8(key)) + len(_utf8(item)) for key, item in value.items())
    return len(_utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def snake_case(message: dict[str, Any]) -> dict[str, Any]:
    """Field names as the reference writes them; the JSON form allows camelCase too. Data keys stay as they are."""
    renamed: dict[str, Any] = _renamed(message, MESSAGE)
    return renamed


def _renamed(value: Any, shape: Any) -> Any:
    if not isinstance(shape, dict) or "*" in shape or not isinstance(value, dict):
        return value
    names = {name: re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name) for name in value}
    return {names[name]: _renamed(item, shape[names[name]]) for name, item in value.items()}
