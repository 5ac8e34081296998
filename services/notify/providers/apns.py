"""APNs: payloads and provider tokens by apns2, sent by a transport, answers judged here.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apns2.credentials import TokenCredentials
from apns2.payload import Payload, PayloadAlert

from services.notify.providers import Outcome, Push, Result
from services.notify.providers.transport import OUT_OF_TIME, Answer, NoAnswer, Request, Transport

TOKEN_LIFETIME_S = 45 * 60  # Apple: not older than an hour …
TOKEN_MIN_AGE_S = 20 * 60  # … and not renewed more often than every twenty minutes
MAX_PAYLOAD_BYTES = 4096


class ProviderToken:
    """The one JWT of a signing key in this process, renewed by apns2 every 45 minutes."""

    def __init__(self, key_file: Path, key_id: str, team_id: str) -> None:
        self._arguments = (str(key_file), key_id, team_id)
        self._lock = threading.Lock()
        self._renew()

    def header(self) -> str:
        with self._lock:
            value: str = self._credentials.get_authorization_header(None)
            return value

    def renew(self) -> bool:
        """Apple called it expired (a clock that was set, a machine that slept). False if it is too young to renew."""
        with self._lock:
            if time.monotonic() - self._renewed_at < TOKEN_MIN_AGE_S:
                return False
            self._renew()
            return True

    def _renew(self) -> None:
        self._credentials = TokenCredentials(*self._arguments, token_lifetime=TOKEN_LIFETIME_S)
        self._renewed_at = time.monotonic()


class Apns:
    """The channel to iOS. `urls` maps the environment of a device to its server."""

    def __init__(
        self, token: ProviderToken, urls: Mapping[str, str], transport: Transport, *, topic: str | None
    ) -> None:
        self._token, self._urls, self._transport, self._topic = token, urls, transport, topic

    def send(self, items: Sequence[Push], *, until: float) -> list[Result]:
        results: list[Result | None] = [None] * len(items)
        requests: dict[int, Request] = {}
        for index, push in enumerate(items):
            built = self._build(push)
            if isinstance(built, Result):
                results[index] = built
            else:
                requests[index] = built
        answers = self._transport.send(list(requests.values()), until=until)
        for index, answer in zip(requests, answers, strict=True):
            results[index] = judge(answer)
        if any(result and result.reason == "ExpiredProviderToken" for result in results):
            self._token.renew()
        return [result or Result(Outcome.AMBIGUOUS, "no result") for result in results]

    def close(self) -> None:
        self._transport.close()

    def _build(self, push: Push) -> Request | Result:
        topic = push.app_id or self._topic
        if not topic:
            return Result(Outcome.BAD_REQUEST, "the device has no app_id, and APNS_TOPIC is not set")
        body = json.dumps(payload(push).dict(), ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) > MAX_PAYLOAD_BYTES:
            return Result(Outcome.BAD_REQUEST, "PayloadTooLarge")
        headers = {
            "authorization": self._token.header(),
            "apns-id": str(push.delivery_id),
            "apns-topic": topic,
            "apns-push-type": "alert",
            "apns-priority": "10" if push.is_urgent else "5",
            "apns-expiration": str(int(push.expires_at.timestamp())),
            "apns-collapse-id": push.collapse_key or str(push.delivery_id),
            "content-type": "application/json",
        }
        return Request(f"{self._urls[push.environment]}/3/device/{push.token}", headers, body)


def payload(push: Push) -> Payload:
    """The app's data stands beside `aps`, as Apple has it."""
    custom: dict[str, Any] = {**push.data, "message_id": str(push.message_id)}
    return Payload(alert=PayloadAlert(title=push.title, body=push.body), sound="default", custom=custom)


def judge(answer: Answer | NoAnswer) -> Result:
    """What an answer means. A token is dead on 410 only, and only since the time Apple gives."""
    if answer is OUT_OF_TIME:
        return Result(Outcome.POSTPONED, OUT_OF_TIME.reason)
    if isinstance(answer, NoAnswer):
        return Result(Outcome.AMBIGUOUS if answer.is_sent else Outcome.RETRY_AFTER, answer.reason)
    if answer.status == 200:
        return Result(Outcome.ACCEPTED, provider_id=answer.headers.get("apns-id"))
    document = _json(answer)
    reason = str(document.get("reason") or f"http_{answer.status}")[:100]
    if answer.status == 410:
        return Result(Outcome.UNREGISTERED, reason, gone_at=_time(document.get("timestamp")))
    if answer.status == 429:
        return Result(Outcome.THROTTLED, reason, retry_after_s=answer.retry_after_s)
    if answer.status >= 500:
        return Result(Outcome.RETRY_AFTER, reason, retry_after_s=answer.retry_after_s)
    if answer.status in (401, 403):
        return Result(Outcome.CREDENTIALS, reason)
    return Result(Outcome.BAD_REQUEST, reason)


def _json(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _time(milliseconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
