"""Hooks: the operator's own word in a sign-up and in a token, and the operator's own way to send mails and SMS.

Payloads are those of supabase/auth. The first two are called while a request waits; a failure refuses the request, or
is passed over where HOOK_FAIL_OPEN names the hook. The senders are called by the worker, again and again until the code
has expired: so no answer tells by its time, or by a failure, whether there was somebody to send something to.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import request

from services.auth import models, rows, store
from services.auth.devices import device_of
from services.auth.metrics import HOOK_CALLS
from services.auth.parts import here
from services.auth.sealing import context_of
from services.auth.webhooks import HookFailed
from shared.errors import BadRequest, Forbidden, Problem, Unavailable, UnprocessableContent
from shared.ids import new_id
from shared.postgres import Connection

log = logging.getLogger(__name__)

BEFORE_USER_CREATED, ACCESS_TOKEN = "before_user_created", "access_token"
SEND_SMS, SEND_MAIL = "send_sms", "send_mail"
# What others rely on, what says who somebody is or acts for, and what they may do: no hook adds or changes it.
RESERVED = frozenset(
    {"iss", "aud", "sub", "sid", "session_id", "iat", "exp", "nbf", "jti"}
    | {"role", "scope", "scp", "roles", "act", "may_act", "client_id", "azp", "cnf", "auth_time"}
    | {"aal", "acr", "amr", "is_anonymous", "email", "email_verified", "phone", "phone_verified"}
)
MAX_CLAIMS_BYTES = 4096
REFUSALS: dict[int, type[Problem]] = {403: Forbidden, 422: UnprocessableContent}


def refusal_of_user(
    email: str | None, phone: str | None, user_metadata: dict[str, Any], *, provider: str | None = None
) -> Problem | None:
    """Why the operator wants no such user, or None. Call it while no connection is held."""
    user = {
        "email": email or "",
        "phone": phone or "",
        "user_metadata": user_metadata,
        "is_anonymous": not email and not phone and not provider,
        "app_metadata": {"provider": provider, "providers": [provider]} if provider else {},
        "aud": "authenticated",
        "role": "authenticated",
    }
    metadata = {
        "uuid": str(new_id()),
        "time": datetime.now(UTC).isoformat(),
        "name": "before-user-created",
        "ip_address": device_of(request).ip,
    }
    answer = _ask(BEFORE_USER_CREATED, {"metadata": metadata, "user": user})
    error = (answer or {}).get("error")
    if not isinstance(error, dict):
        return None
    refusal = REFUSALS.get(error.get("http_code") or 0, BadRequest)
    return refusal(str(error.get("message") or "This sign-up is not accepted.")[:500], code="hook_refused")


def more_claims(user: rows.User, session: rows.Session, claims: dict[str, object]) -> dict[str, Any]:
    """Claims that the operator adds to an access token; none of them takes the place of a reserved one."""
    if not here.settings.hook_access_token_url:
        return {}
    method = session.amr[0]["method"] if session.amr else ""
    payload = {"user_id": str(user.id), "claims": claims, "authentication_method": method}
    answer = _ask(ACCESS_TOKEN, payload) or {}
    said = answer.get("claims")
    more = {name: value for name, value in said.items() if name not in RESERVED} if isinstance(said, dict) else {}
    if len(json.dumps(more).encode()) > MAX_CLAIMS_BYTES:
        log.error("the access token hook answered more than %s bytes of claims: none is taken", MAX_CLAIMS_BYTES)
        return {}
    return more


def ask_to_send_sms(conn: Connection, user: rows.User, phone: str, code: str, channel: str, lifetime_s: int) -> None:
    """Have a code sent to a number, in the transaction that makes the code."""
    payload = {
        "user": _seen(user) | {"phone": phone},
        "sms": {"otp": code, "phone": phone, "channel": channel},
    }
    _put(conn, SEND_SMS, payload, lifetime_s)


def ask_to_send_mail(
    conn: Connection,
    user: rows.User,
    to: str,
    template: str,
    params: dict[str, str],
    lifetime_s: int,
    *,
    locale: str | None,
    languages: list[str],
) -> None:
    """Have a mail sent, in the transaction that makes it true. `params` are what notify's template would have got.

    `locale` is the language chosen by the person, or the first of `languages`, which the request asked for.
    """
    link = dict(parse_qsl(urlsplit(params.get("link", "")).query))
    payload = {
        "user": _seen(user) | {"email": to},
        "email_data": {
            "token": params.get("code", ""),
            "token_hash": link.get("token_hash", ""),
            "redirect_to": link.get("redirect_to", ""),
            "email_action_type": link.get("type", template),
            "site_url": here.settings.public_url,
            "token_new": "",
            "token_hash_new": "",
        },
        "template": template,
        "params": params,
        "locale": locale,
        "languages": languages,
    }
    _put(conn, SEND_MAIL, payload, lifetime_s)


def _seen(user: rows.User) -> dict[str, Any]:
    return models.User.of(user).model_dump(mode="json")


def _put(conn: Connection, hook: str, payload: dict[str, Any], lifetime_s: int) -> None:
    call_id = new_id()
    sealed = here.sealer.seal(json.dumps(payload).encode(), context_of("hook_calls", str(call_id)))
    store.insert_hook_call(conn, call_id, hook, sealed, lifetime_s=lifetime_s)


def _ask(hook: str, payload: dict[str, Any]) -> dict[str, Any] | None:
    """What a hook answers; None if there is none, or if it failed and that is passed over."""
    url = here.settings.hook_url(hook)
    if not url:
        return None
    try:
        answer = here.webhooks.call(url, new_id(), payload)
    except HookFailed as error:
        HOOK_CALLS.labels(hook, "failed").inc()
        log.warning("the hook %s failed: %s", hook, error)
        if hook in here.settings.hooks_that_fail_open:
            return None
        detail = "A hook of this service did not answer as it should."
        if error.code == "hook_timeout":
            raise UnprocessableContent(detail, code=error.code) from error
        raise Unavailable(detail, code=error.code) from error
    HOOK_CALLS.labels(hook, "answered").inc()
    return answer
