"""FCM HTTP v1: messages and credentials by pyfcm, sent by a transport, answers judged here.

https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
"""

import functools
import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google.auth.exceptions
import google.auth.transport.requests
import requests
from pyfcm import FCMNotification
from pyfcm.errors import FCMError
from requests.adapters import HTTPAdapter

from services.notify.providers import Outcome, Push, Result
from services.notify.providers.transport import OUT_OF_TIME, Answer, NoAnswer, Request, Transport

RENEW_BEFORE_S = 300
DEFAULT_QUOTA_WAIT_S = 60  # what Google asks for after a 429 without Retry-After


class FcmApi(FCMNotification):  # type: ignore[misc]
    """pyfcm without its own retries and sleeps, and with one OAuth token for the whole process."""

    def __init__(self, service_account_file: Path, project_id: str | None, *, timeout_s: float) -> None:
        super().__init__(service_account_file=str(service_account_file), project_id=project_id)
        self._initialize_credentials()
        self._timeout_s = timeout_s
        self._lock = threading.Lock()

    def url(self, base_url: str) -> str:
        """Where to send. The project of the settings counts, not the one in the file."""
        return f"{base_url}/{self._project_id or self.credentials.project_id}/messages:send"

    @property
    def requests_session(self) -> requests.Session:
        """A session that never tries again by itself: retries are the queue's business."""
        session: requests.Session | None = getattr(self.thread_local, "requests_session", None)
        if session is None:
            self.thread_local.requests_session = session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=0))
        return session

    def request_headers(self) -> dict[str, str]:
        """Raise google.auth.exceptions.GoogleAuthError when there is no access token and none to be had."""
        with self._lock:
            token, expiry = self.credentials.token, self.credentials.expiry
            if not token or expiry is None or expiry.replace(tzinfo=UTC).timestamp() - time.time() < RENEW_BEFORE_S:
                fetch = google.auth.transport.requests.Request(self.requests_session)
                self.credentials.refresh(functools.partial(fetch, timeout=self._timeout_s))
        return {"content-type": "application/json", "authorization": f"Bearer {self.credentials.token}"}

    def forget_token(self, headers: dict[str, str]) -> None:
        """The access token in these headers was refused: fetch another, unless another thread has done so."""
        with self._lock:
            if headers["authorization"] == f"Bearer {self.credentials.token}":
                self.credentials.token = None


class Fcm:
    """The channel to Android."""

    def __init__(self, api: FcmApi, base_url: str, transport: Transport) -> None:
        self._api, self._transport = api, transport
        self._url = api.url(base_url)

    def send(self, items: Sequence[Push], *, until: float) -> list[Result]:
        results: list[Result | None] = [None] * len(items)
        bodies: dict[int, bytes] = {}
        for index, push in enumerate(items):
            try:
                bodies[index] = message(self._api, push)
            except (FCMError, ValueError) as error:
                results[index] = Result(Outcome.BAD_REQUEST, str(error)[:200])
        for attempt in (1, 2):
            refused = self._send_once(bodies, results, until)
            if attempt == 1 and refused:  # the access token was refused, so nothing of this has been taken
                bodies = {index: bodies[index] for index in refused}
            else:
                break
        return [result or Result(Outcome.AMBIGUOUS, "no result") for result in results]

    def close(self) -> None:
        self._transport.close()

    def _send_once(self, bodies: dict[int, bytes], results: list[Result | None], until: float) -> list[int]:
        """Send and judge; the indexes whose access token was refused."""
        try:
            headers = self._api.request_headers()
        except google.auth.exceptions.GoogleAuthError as error:
            for index in bodies:
                results[index] = judge_auth_error(error)
            return []
        answers = self._transport.send([Request(self._url, headers, body) for body in bodies.values()], until=until)
        refused = []
        for index, answer in zip(bodies, answers, strict=True):
            results[index] = judge(answer)
            if isinstance(answer, Answer) and answer.status == 401 and _code(answer) != "THIRD_PARTY_AUTH_ERROR":
                refused.append(index)
        if refused:
            self._api.forget_token(headers)
        return refused


def message(api: FcmApi, push: Push) -> bytes:
    """The body for FCM. `tag` lets a repetition replace the first on the phone; `message_id` lets the app know it."""
    ttl_s = max(int((push.expires_at - datetime.now(UTC)).total_seconds()), 0)
    android: dict[str, Any] = {
        "priority": "HIGH" if push.is_urgent else "NORMAL",
        "ttl": f"{min(ttl_s, 2_419_200)}s",
        "notification": {"tag": push.collapse_key or str(push.delivery_id)},
    }
    if push.collapse_key:
        # Not by default: FCM keeps only four different keys for a phone that is offline.
        android["collapse_key"] = push.collapse_key
    body: bytes = api.parse_payload(
        fcm_token=push.token,
        notification_title=push.title,
        notification_body=push.body,
        data_payload={**push.data, "message_id": str(push.message_id)},
        android_config=android,
    )
    return body


def judge(answer: Answer | NoAnswer) -> Result:
    """What an answer means. Only FCM's own UNREGISTERED calls a token dead: a bare 404 may be a wrong project."""
    if answer is OUT_OF_TIME:
        return Result(Outcome.POSTPONED, OUT_OF_TIME.reason)
    if isinstance(answer, NoAnswer):
        return Result(Outcome.AMBIGUOUS if answer.is_sent else Outcome.RETRY_AFTER, answer.reason)
    code = _code(answer)
    reason = code or f"http_{answer.status}"
    if answer.status == 200:
        name = _json(answer).get("name")
        return Result(Outcome.ACCEPTED, provider_id=name if isinstance(name, str) else None)
    if code == "UNREGISTERED":
        return Result(Outcome.UNREGISTERED, reason)
    if answer.status == 429:
        return Result(Outcome.THROTTLED, reason, retry_after_s=answer.retry_after_s or DEFAULT_QUOTA_WAIT_S)
    if answer.status >= 500:
        return Result(Outcome.RETRY_AFTER, reason, retry_after_s=answer.retry_after_s)
    if answer.status in (401, 404) or (answer.status == 403 and code != "SENDER_ID_MISMATCH"):
        return Result(Outcome.CREDENTIALS, reason)
    return Result(Outcome.BAD_REQUEST, f"{reason}: {_detail(answer)}"[:200])


def judge_auth_error(error: google.auth.exceptions.GoogleAuthError) -> Result:
    """No access token: Google's token endpoint is unwell or out of reach, or it refuses our key."""
    is_outage = isinstance(error, google.auth.exceptions.TransportError) or error.retryable
    outcome = Outcome.RETRY_AFTER if is_outage else Outcome.CREDENTIALS
    return Result(outcome, f"oauth: {type(error).__name__}")


def _json(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _error(answer: Answer) -> dict[str, Any]:
    error = _json(answer).get("error")
    return error if isinstance(error, dict) else {}


def _code(answer: Answer) -> str | None:
    """FCM's own error code, not the HTTP one."""
    details = _error(answer).get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("fcm.v1.FcmError"):
            return str(detail.get("errorCode"))[:50]
    return None


def _detail(answer: Answer) -> str:
    return str(_error(answer).get("message", ""))
