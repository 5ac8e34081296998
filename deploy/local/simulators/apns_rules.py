"""What APNs accepts: the provider token and the request, each refused with Apple's reason.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.local.simulators.credentials import Credentials

MAX_TOKEN_AGE_S = 3_600
MAX_SKEW_S = 60
MAX_COLLAPSE_ID_BYTES = 64
MAX_KNOWN_TOKENS = 64
STATUS = {
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "MissingProviderToken": 403,
    "InvalidProviderToken": 403,
    "ExpiredProviderToken": 403,
    "BadCertificateEnvironment": 403,
    "Forbidden": 403,
    "Unregistered": 410,
    "ExpiredToken": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}
DEFAULT_REASON = {
    400: "BadDeviceToken",
    403: "InvalidProviderToken",
    410: "Unregistered",
    413: "PayloadTooLarge",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}
# push type: what the topic has after the bundle id
TOPIC_SUFFIX = {
    "alert": "",
    "background": "",
    "mdm": "",
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "location": ".location-query",
    "liveactivity": ".push-type.liveactivity",
    "pushtotalk": ".voip-ptt",
    "widgets": ".push-type.widgets",
    "controls": ".push-type.controls",
}
_UNIQUE_HEADERS = ("authorization", "apns-id", "apns-topic", "apns-push-type", "apns-priority", "apns-expiration")
_DEVICE_TOKEN = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{160}|[0-9a-fA-F]{200}")
_TOPIC = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")

Headers = tuple[tuple[str, str], ...]


class Refused(Exception):
    def __init__(self, reason: str, *, status: int = 0, timestamp_ms: int = 0, headers: Headers = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status or STATUS.get(reason, 400)
        self.timestamp_ms = timestamp_ms
        self.headers = headers


@dataclass(slots=True)
class PushRequest:
    method: str
    path: str
    headers: dict[str, str]
    repeated: set[str] = field(default_factory=set)
    body: bytes = b""

    @property
    def device_token(self) -> str:
        return self.path.removeprefix("/3/device/").lower()


class ProviderTokens:
    """Checks Apple's ES256 provider tokens; one that was good is remembered until it is too old."""

    def __init__(self, credentials: Credentials) -> None:
        key = cast(EllipticCurvePrivateKey, load_pem_private_key(credentials.apns_key_file.read_bytes(), None))
        self._public_key = key.public_key()
        self._credentials = credentials
        self._issued_at: dict[str, float] = {}

    def check(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("MissingProviderToken")
        token = token.strip()
        if token not in self._issued_at:
            if len(self._issued_at) >= MAX_KNOWN_TOKENS:
                self._issued_at.clear()
            self._issued_at[token] = self._verify(token)
        if self._issued_at[token] < time.time() - MAX_TOKEN_AGE_S:
            raise Refused("ExpiredProviderToken")

    def _verify(self, token: str) -> float:
        """Return `iat`, checked by hand: PyJWT would call an old token good and a future one unparsable."""
        try:
            if jwt.get_unverified_header(token).get("kid") != self._credentials.key_id:
                raise Refused("InvalidProviderToken")
            options: Any = {"verify_iat": False, "verify_exp": False, "verify_nbf": False, "verify_aud": False}
            claims = jwt.decode(token, self._public_key, algorithms=["ES256"], options=options)
        except jwt.InvalidTokenError:
            raise Refused("InvalidProviderToken") from None
        issued_at = claims.get("iat")
        if claims.get("iss") != self._credentials.team_id or not isinstance(issued_at, int | float):
            raise Refused("InvalidProviderToken")
        if isinstance(issued_at, bool) or issued_at > time.time() + MAX_SKEW_S:
            raise Refused("InvalidProviderToken")
        return float(issued_at)


def check_request(request: PushRequest, bundle_id: str) -> list[str]:
    """Raise Refused, or return what the real service lets pass but a sender should know."""
    headers = request.headers
    warnings: list[str] = []
    if request.repeated.intersection(_UNIQUE_HEADERS):
        raise Refused("DuplicateHeaders")
    if "apns-id" in headers and not _is_uuid(headers["apns-id"]):
        raise Refused("BadMessageId")
    if not re.fullmatch(r"[0-9]{1,19}", headers.get("apns-expiration", "0")):
        raise Refused("BadExpirationDate")
    if headers.get("apns-priority", "10") not in ("1", "5", "10"):
        raise Refused("BadPriority")
    if len(headers.get("apns-collapse-id", "").encode("utf-8", "surrogatepass")) > MAX_COLLAPSE_ID_BYTES:
        raise Refused("BadCollapseId")
    _check_topic(headers, bundle_id, warnings)
    if not _DEVICE_TOKEN.fullmatch(request.device_token):
        raise Refused("BadDeviceToken")
    if not request.body:
        raise Refused("PayloadEmpty")
    if len(request.body) > (5120 if headers.get("apns-push-type") == "voip" else 4096):
        raise Refused("PayloadTooLarge")
    return warnings


def check_path(request: PushRequest) -> None:
    if not request.path.startswith("/3/device"):
        raise Refused("BadPath")
    if request.method != "POST":
        raise Refused("MethodNotAllowed")
    if request.path.rstrip("/") == "/3/device":
        raise Refused("MissingDeviceToken")
    if "/" in request.device_token:
        raise Refused("BadPath")


def _check_topic(headers: dict[str, str], bundle_id: str, warnings: list[str]) -> None:
    topic, push_type = headers.get("apns-topic", ""), headers.get("apns-push-type", "")
    if not topic:
        raise Refused("MissingTopic")
    if not _TOPIC.fullmatch(topic):
        raise Refused("BadTopic")
    if topic != bundle_id and not topic.startswith(bundle_id + "."):
        raise Refused("DeviceTokenNotForTopic")
    suffix = topic.removeprefix(bundle_id)
    if not push_type:
        warnings.append("apns-push-type is missing: watchOS 6 and later refuse such a notification")
    elif push_type not in TOPIC_SUFFIX or (suffix and TOPIC_SUFFIX[push_type] != suffix):
        raise Refused("InvalidPushType")
    elif TOPIC_SUFFIX[push_type] != suffix:
        raise Refused("DeviceTokenNotForTopic")
    elif push_type == "background" and headers.get("apns-priority", "10") == "10":
        raise Refused("BadPriority")  # documented as an error; 10 is also what a missing header means


def _is_uuid(value: str) -> bool:
    try:
        return len(value) == 36 and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False
