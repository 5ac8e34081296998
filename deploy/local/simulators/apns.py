"""APNs: what happens to one push, whatever the connection it came on."""

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any

from deploy.local.simulators.apns_rules import (
    DEFAULT_REASON,
    ProviderTokens,
    PushRequest,
    Refused,
    check_path,
    check_request,
)
from deploy.local.simulators.arrivals import Arrival, Arrivals, without_secrets
from deploy.local.simulators.credentials import Credentials
from deploy.local.simulators.faults import Fault, Faults


@dataclass(slots=True)
class PushAnswer:
    """`ending` is how the connection ends instead of an answer: "goaway" or "reset"."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    ending: str = ""
    reason: str = ""
    is_authenticated: bool = True


class Apns:
    def __init__(self, credentials: Credentials, arrivals: Arrivals, faults: Faults) -> None:
        self._credentials, self._arrivals, self._faults = credentials, arrivals, faults
        self._provider_tokens = ProviderTokens(credentials)

    async def push(self, request: PushRequest) -> PushAnswer:
        given_id = request.headers.get("apns-id", "")
        apns_id = (given_id or str(uuid.uuid4())).upper()
        is_authenticated = False
        try:
            check_path(request)
            self._provider_tokens.check(request.headers.get("authorization", ""))
            is_authenticated = True
            warnings = check_request(request, self._credentials.topic)
            payload = _payload(request.body)
        except Refused as refused:
            return self._refuse(request, refused, apns_id, is_authenticated=is_authenticated)
        fault = self._faults.take("apns", request.device_token)
        if fault is None:
            self._accept(request, payload, given_id, apns_id, warnings)
        elif fault.kind == "delay" and not fault.after_accept:
            await asyncio.sleep(fault.delay_s)
            self._accept(request, payload, given_id, apns_id, warnings)
        elif fault.after_accept:
            self._accept(request, payload, given_id, apns_id, warnings)
            if fault.kind != "delay":
                return _fault_answer(fault, apns_id)
            await asyncio.sleep(fault.delay_s)
        elif fault.kind in ("goaway", "reset"):
            self._arrivals.add(_arrival(request, payload, outcome="refused", status=0, reason=fault.kind))
            return _fault_answer(fault, apns_id)
        else:
            return self._refuse(request, _fault_refusal(fault), apns_id)
        return PushAnswer(headers=(("apns-id", apns_id), ("apns-unique-id", str(uuid.uuid4()))))

    def _accept(
        self, request: PushRequest, payload: dict[str, Any], given_id: str, apns_id: str, warnings: list[str]
    ) -> None:
        key = given_id.lower() or request.headers.get("apns-collapse-id", "")
        self._arrivals.add(_arrival(request, payload, key=key, provider_id=apns_id, warnings=warnings))

    def _refuse(
        self, request: PushRequest, refused: Refused, apns_id: str, *, is_authenticated: bool = True
    ) -> PushAnswer:
        outcome = {"outcome": "refused", "status": refused.status, "reason": refused.reason}
        self._arrivals.add(_arrival(request, _readable(request.body), **outcome))
        return _refusal_answer(refused, apns_id, is_authenticated=is_authenticated)


def _payload(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("BadPayload") from None
    if not isinstance(payload, dict):
        raise Refused("BadPayload")
    return payload


def _readable(body: bytes) -> dict[str, Any] | None:
    try:
        return _payload(body)
    except Refused:
        return None


def _arrival(request: PushRequest, payload: dict[str, Any] | None, **outcome: Any) -> Arrival:
    aps = (payload or {}).get("aps")
    alert = aps.get("alert") if isinstance(aps, dict) else None
    title, text = (alert.get("title"), alert.get("body")) if isinstance(alert, dict) else ("", alert)
    return Arrival(
        channel="apns",
        to=request.device_token,
        headers={":method": request.method, ":path": request.path, **without_secrets(request.headers)},
        raw=request.body,
        title=str(title or ""),
        text=str(text or ""),
        **outcome,
    )


def _fault_refusal(fault: Fault) -> Refused:
    status = 410 if fault.kind == "unregistered" else fault.status
    reason = fault.reason or DEFAULT_REASON.get(status, "InternalServerError")
    timestamp_ms = int(fault.created_at * 1000) if status == 410 else 0
    return Refused(reason, status=status, timestamp_ms=timestamp_ms, headers=fault.retry_after_header)


def _fault_answer(fault: Fault, apns_id: str) -> PushAnswer:
    if fault.kind in ("goaway", "reset"):
        return PushAnswer(ending=fault.kind, reason=fault.reason)
    return _refusal_answer(_fault_refusal(fault), apns_id)


def _refusal_answer(refused: Refused, apns_id: str, *, is_authenticated: bool = True) -> PushAnswer:
    document: dict[str, Any] = {"reason": refused.reason}
    if refused.timestamp_ms:
        document["timestamp"] = refused.timestamp_ms
    return PushAnswer(
        status=refused.status,
        headers=(("apns-id", apns_id), ("content-type", "application/json"), *refused.headers),
        body=json.dumps(document, separators=(",", ":")).encode(),
        is_authenticated=is_authenticated,
    )
