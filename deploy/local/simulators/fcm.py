"""FCM HTTP v1: `POST /v1/projects/{project}/messages:send`, with Google's error documents."""

import asyncio
import json
import secrets
from typing import Any

from deploy.local.simulators.arrivals import Arrival, Arrivals, without_secrets
from deploy.local.simulators.faults import Fault, Faults
from deploy.local.simulators.fcm_message import (
    TARGETS,
    Violation,
    content_violation,
    shape_violations,
    snake_case,
)
from deploy.local.simulators.http import Request, Response, json_response
from deploy.local.simulators.oauth import OAuth

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_INVALID = "Request had invalid authentication credentials."
_CREDENTIAL = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
# status: (canonical status, FCM's error code, message)
ERRORS = {
    400: ("INVALID_ARGUMENT", "INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service"),
    403: ("PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch"),
    404: ("NOT_FOUND", "UNREGISTERED", "Requested entity was not found."),
    429: ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded."),
    500: ("INTERNAL", "INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable."),
}
_HTML = (
    b"<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Error 502 (Server Error)!!1</title>\n"
    b"<p><b>502.</b> <ins>That's an error.</ins>\n<p>The server encountered a temporary error."
)


class Fcm:
    def __init__(self, project_id: str, oauth: OAuth, arrivals: Arrivals, faults: Faults) -> None:
        self._project_id, self._oauth, self._arrivals, self._faults = project_id, oauth, arrivals, faults

    async def send(self, request: Request) -> Response:
        refusal = self._check_caller(request)
        if refusal:
            return self._refuse(request, {}, refusal)
        try:
            document = json.loads(request.body) or {}
        except (ValueError, RecursionError):
            text = "Invalid JSON payload received. Unexpected end of string."
            return self._refuse(request, {}, _error(400, text, [_bad_request([("", text)])]))
        violations = shape_violations(document)
        if violations:
            text = "\n".join(description for _, description in violations)
            return self._refuse(request, {}, _error(400, text, [_bad_request(violations)]))
        message = snake_case(document.get("message") or {})
        violation = content_violation(message)
        if violation:
            details = [_bad_request([violation]), _fcm_error("INVALID_ARGUMENT")]
            return self._refuse(request, message, _error(400, violation[1], details))
        return await self._deliver(request, message, bool(document.get("validate_only")))

    async def _deliver(self, request: Request, message: dict[str, Any], is_validate_only: bool) -> Response:
        fault = self._faults.take("fcm", _target(message))
        if fault and not fault.after_accept:
            if fault.kind == "delay":
                await asyncio.sleep(fault.delay_s)
            else:
                return self._refuse(request, message, _fault_response(fault))
        if is_validate_only:
            return json_response({"name": f"projects/{self._project_id}/messages/fake_message_id"})
        name = f"projects/{self._project_id}/messages/0:{secrets.randbits(60)}%{secrets.token_hex(8)}"
        self._arrivals.add(_arrival(request, message, provider_id=name))
        if fault and fault.after_accept:
            if fault.kind != "delay":
                return _fault_response(fault)
            await asyncio.sleep(fault.delay_s)
        return json_response({"name": name})

    def _check_caller(self, request: Request) -> Response | None:
        scheme, _, access_token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not access_token:
            text = f"Request is missing required authentication credential. {_CREDENTIAL}"
            return _unauthenticated(text, "CREDENTIALS_MISSING")
        reason = self._oauth.problem_with(access_token.strip())
        if reason:
            text = f"{_INVALID} {_CREDENTIAL}"
            return _unauthenticated(text, reason)
        if request.matched["project"] != self._project_id:
            resource = f"//cloudresourcemanager.googleapis.com/projects/{request.matched['project']}"
            text = f"Permission 'cloudmessaging.messages.create' denied on resource '{resource}' (or it may not exist)."
            return _error(403, text, [_error_info("IAM_PERMISSION_DENIED", "iam.googleapis.com")])
        return None

    def _refuse(self, request: Request, message: dict[str, Any], response: Response) -> Response:
        reason = "connection reset" if response.is_reset else _reason(response)
        self._arrivals.add(_arrival(request, message, outcome="refused", status=response.status, reason=reason))
        return response


def _arrival(request: Request, message: dict[str, Any], **outcome: Any) -> Arrival:
    notification = {**(message.get("notification") or {}), **((message.get("android") or {}).get("notification") or {})}
    data = {**(message.get("data") or {}), **((message.get("android") or {}).get("data") or {})}
    return Arrival(
        channel="fcm",
        to=_target(message),
        headers=without_secrets(request.headers),
        raw=request.body,
        key=data.get("message_id") or _collapse_key(message, notification),
        title=notification.get("title") or data.get("title") or "",
        text=notification.get("body") or data.get("body") or "",
        **outcome,
    )


def _collapse_key(message: dict[str, Any], notification: dict[str, Any]) -> str:
    return str((message.get("android") or {}).get("collapse_key") or notification.get("tag") or "")


def _target(message: dict[str, Any]) -> str:
    name = next((name for name in TARGETS if message.get(name)), None)
    if name is None:
        return ""
    return str(message[name]) if name == "token" else f"{name}:{message[name]}"


def _fault_response(fault: Fault) -> Response:
    if fault.kind == "reset":
        return Response(is_reset=True)
    if fault.kind == "unregistered":
        return _error(404, ERRORS[404][2], [_fcm_error("UNREGISTERED")])
    if fault.status == 401 and fault.reason != "THIRD_PARTY_AUTH_ERROR":
        return _unauthenticated(f"{_INVALID} {_CREDENTIAL}", "ACCESS_TOKEN_EXPIRED")
    if fault.status not in ERRORS:
        return Response(_HTML, fault.status, "text/html; charset=UTF-8", fault.retry_after_header)
    _, code, text = ERRORS[fault.status]
    return _error(fault.status, text, [_fcm_error(fault.reason or code)], fault.retry_after_header)


def _error(
    status: int, text: str, details: list[dict[str, Any]], headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    error = {"code": status, "message": text, "status": ERRORS[status][0], "details": details}
    return json_response({"error": error}, status, headers)


def _unauthenticated(text: str, reason: str) -> Response:
    challenge = (("www-authenticate", 'Bearer realm="https://accounts.google.com/"'),)
    return _error(401, text, [_error_info(reason, "googleapis.com")], challenge)


def _error_info(reason: str, domain: str) -> dict[str, Any]:
    metadata = {"service": "fcm.googleapis.com", "method": "google.firebase.fcm.v1.FcmService.SendMessage"}
    return {"@type": ERROR_INFO, "reason": reason, "domain": domain, "metadata": metadata}


def _fcm_error(code: str) -> dict[str, Any]:
    return {"@type": FCM_ERROR, "errorCode": code}


def _bad_request(violations: list[Violation]) -> dict[str, Any]:
    return {"@type": BAD_REQUEST, "fieldViolations": [{"field": f, "description": text} for f, text in violations]}


def _reason(response: Response) -> str:
    if not response.content_type.startswith("application/json"):
        return f"HTTP {response.status}"
    error = json.loads(response.body)["error"]
    codes = [detail.get("errorCode") or detail.get("reason") for detail in error["details"]]
    return str(next((code for code in codes if code), error["status"]))
