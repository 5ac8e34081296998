"""The second process: it brings events to the broker and deletes what has expired, in small batches."""

from services.auth import guests, store
from services.auth.config import AuthSettings
from services.auth.endings import end_idle_browsers, end_idle_sessions, end_old_sessions, end_overdue_sessions
from services.auth.external.revocations import give_back_due
from services.auth.hook_sender import send_due
from services.auth.parts import Parts
from shared.outbox import PostgresSource
from shared.postgres import Database
from shared.relay import Relay
from shared.worker import every, run

BATCH = 500
ENDED_KEPT_S = 604_800  # a week: a late refresh token of an ended session still gets a true answer


def main(settings: AuthSettings) -> int:
    """Run until SIGTERM; the exit status."""
    db = Database(settings.database_url.get_secret_value(), size=4, application_name="auth-worker")
    parts = Parts.of(settings)
    relay = Relay(PostgresSource(db), settings.amqp_url.get_secret_value(), settings.services_left_out)
    loops = {
        "relay": relay.run,
        "hooks": every(1, lambda: send_due(db, settings, parts.sealer, parts.webhooks)),
        "revocations": every(5, lambda: give_back_due(db, parts)),
        "cleanup": every(settings.cleanup_interval_s, lambda: clean_up(db, settings)),
    }
    return run("auth-worker", settings, loops, ready={"postgres": db.check})


def clean_up(db: Database, settings: AuthSettings) -> int:
    """End and delete what has expired until nothing is left, a batch of each kind a transaction; how many rows."""
    deleted = 0
    while True:
        with db.transaction() as conn:
            batches = [
                store.delete_expired_one_time_tokens(conn, limit=BATCH),
                store.delete_expired_factors(conn, limit=BATCH),
                store.delete_expired_challenges(conn, limit=BATCH),
                store.delete_expired_auth_codes(conn, limit=BATCH),
                store.delete_expired_oauth_requests(conn, limit=BATCH),
                store.delete_expired_oauth_grants(conn, limit=BATCH),
                store.delete_expired_external_flows(conn, limit=BATCH),
                store.delete_expired_hook_calls(conn, limit=BATCH),
                store.delete_used_challenges(conn, limit=BATCH),
                store.delete_ended_sessions(conn, kept_s=ENDED_KEPT_S, limit=BATCH),
                end_idle_browsers(conn, idle_s=settings.browser_idle_s, limit=BATCH),
                end_idle_sessions(conn, idle_s=settings.session_idle_s, limit=BATCH),
                end_old_sessions(conn, lifetime_s=settings.session_lifetime_s, limit=BATCH)
                if settings.session_lifetime_s
                else 0,
                end_overdue_sessions(conn, limit=BATCH),
                store.delete_forgotten_tries(conn, limit=BATCH),
                guests.forget_gone(conn, kept_s=settings.guest_kept_s, limit=BATCH),
                store.delete_old_failed_log_ins(conn, limit=BATCH),
                store.delete_old_audit(conn, limit=BATCH),
                store.delete_old_merges(conn, kept_s=ENDED_KEPT_S, limit=BATCH),
                store.delete_retired_keys(conn, kept_s=settings.key_retire_s),
            ]
        deleted += sum(batches)
        if max(batches) < BATCH:
            return deleted
