"""Signed HTTP calls (Standard Webhooks 1.0) to what the operator runs, each within a time budget."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import requests

from shared import answers

MAX_ANSWER_BYTES = 65_536


class HookFailed(Exception):
    """No answer that can be used; `code` is the word that clients of supabase/auth know, or `hook_failed`."""

    def __init__(self, reason: str, code: str = "hook_failed") -> None:
        super().__init__(reason)
        self.code = code


class Webhooks:
    """Calls are signed with every secret, so that a receiver may change to the next one at its leisure."""

    def __init__(self, secrets: Sequence[bytes], *, timeout_s: float) -> None:
        self._secrets, self._timeout_s = list(secrets), timeout_s

    def __repr__(self) -> str:
        return f"Webhooks({len(self._secrets)} secrets)"

    def call(self, url: str, call_id: UUID, payload: dict[str, Any]) -> dict[str, Any]:
        """The JSON object of the answer, empty if it has no body. Raise HookFailed.

        `call_id` is the same for every attempt, so that a receiver does not do the same twice.
        """
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), default=str).encode()
        return post(url, body, self._headers(str(call_id), int(time.time()), body), timeout_s=self._timeout_s)

    def _headers(self, call_id: str, now: int, body: bytes) -> dict[str, str]:
        signed = f"{call_id}.{now}.".encode() + body
        macs = (base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in self._secrets)
        return {
            "Content-Type": "application/json",
            "User-Agent": "Gatehouse",
            "webhook-id": call_id,
            "webhook-timestamp": str(now),
            "webhook-signature": " ".join(f"v1,{mac}" for mac in macs),
        }


def post(url: str, body: bytes, headers: dict[str, str], *, timeout_s: float) -> dict[str, Any]:
    """The JSON object that a POST is answered with, empty if it has no body, all within `timeout_s`. Raise HookFailed.

    Redirects are not followed.
    """
    ends_at = time.monotonic() + timeout_s
    try:
        with requests.post(
            url, data=body, headers=headers, timeout=timeout_s, allow_redirects=False, stream=True
        ) as response:
            return _read(response, ends_at)
    except requests.Timeout as error:
        raise HookFailed("did not answer in time", "hook_timeout") from error
    except requests.RequestException as error:
        if time.monotonic() >= ends_at:  # of an answer that stops halfway, requests says the connection was lost
            raise HookFailed("did not answer in time", "hook_timeout") from error
        raise HookFailed(f"cannot be called: {type(error).__name__}") from error


def _read(response: requests.Response, ends_at: float) -> dict[str, Any]:
    """The time budget is one of the whole answer."""
    if not 200 <= response.status_code < 300:
        raise HookFailed(f"answered {response.status_code}")
    try:
        data = answers.read(response, ends_at=ends_at, max_bytes=MAX_ANSWER_BYTES)
    except answers.TooMuch as error:
        raise HookFailed("answered too much", "hook_payload_over_size_limit") from error
    if not data.strip():
        return {}
    if response.headers.get("Content-Type", "").split(";")[0].strip().lower() != "application/json":
        raise HookFailed("answered something else than JSON", "hook_payload_invalid_content_type")
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise HookFailed("answered something else than JSON", "hook_payload_invalid_content_type") from error
    if not isinstance(answer, dict):
        raise HookFailed("answered something else than an object", "hook_payload_invalid_content_type")
    return answer


def decode_secrets(value: str) -> list[bytes]:
    """The secrets of `v1,whsec_<base64>`, several separated by `|`. Raise ValueError without showing them."""
    secrets = []
    for part in filter(None, (part.strip() for part in value.split("|"))):
        try:
            secret = base64.b64decode(part.removeprefix("v1,").removeprefix("whsec_"), validate=True)
        except ValueError:
            secret = b""
        if not part.startswith("v1,whsec_") or not 24 <= len(secret) <= 64:
            raise ValueError("each secret must be v1,whsec_ and 24 to 64 bytes in base64, several separated by |")
        secrets.append(secret)
    return secrets
