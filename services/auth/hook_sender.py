"""The worker's part of the hooks that send: calls that are due, one after the other, until taken or too old."""

import json
import logging

from services.auth import store
from services.auth.config import AuthSettings
from services.auth.metrics import HOOK_CALLS
from services.auth.sealing import CannotOpen, Sealer, context_of
from services.auth.webhooks import HookFailed, Webhooks
from shared.postgres import Database

log = logging.getLogger(__name__)


def send_due(db: Database, settings: AuthSettings, sealer: Sealer, webhooks: Webhooks) -> int:
    """Make every call that is due; how many were taken. Several may run: each takes calls that no other has."""
    taken = 0
    while True:
        with db.transaction() as conn:
            call = store.claim_hook_call(conn, busy_s=settings.hook_timeout_s * 2 + 1)
        if call is None:
            return taken
        taken += _send(db, settings, sealer, webhooks, call)


def _send(db: Database, settings: AuthSettings, sealer: Sealer, webhooks: Webhooks, call: store.HookCall) -> bool:
    url = settings.hook_url(call.hook)
    try:
        payload = json.loads(sealer.open(bytes(call.payload_sealed), context_of("hook_calls", str(call.id))))
        if not url:
            raise HookFailed("is not configured any more")
        webhooks.call(url, call.id, payload)
    except (HookFailed, CannotOpen) as error:
        HOOK_CALLS.labels(call.hook, "failed").inc()
        log.warning("the hook %s failed at attempt %s: %s", call.hook, call.attempts, error)
        return False
    with db.transaction() as conn:
        store.delete_hook_call(conn, call.id)
    HOOK_CALLS.labels(call.hook, "answered").inc()
    return True
