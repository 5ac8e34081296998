"""Every query of this service, by noun. Functions take the connection first and never commit."""

from services.auth.store.log_in_tries import count_log_in_try, delete_log_in_tries, delete_old_log_in_tries
from services.auth.store.one_time_tokens import (
    consume_code,
    consume_link,
    delete_expired_one_time_tokens,
    put_one_time_token,
)
from services.auth.store.savepoints import undone
from services.auth.store.sessions import (
    Ended,
    delete_ended_sessions,
    end_idle_sessions,
    end_sessions,
    get_session,
    insert_session,
    list_sessions,
    lock_session,
    update_refreshed,
)
from services.auth.store.signing_keys import (
    delete_retired_keys,
    insert_signing_key,
    list_signing_keys,
    lock_signing_keys,
    update_next_key_active,
)
from services.auth.store.users import (
    EMAIL_ONLY,
    get_user,
    get_user_by_email,
    get_user_of_session,
    insert_user,
    lock_user,
    lock_user_for_mail,
    update_email_confirmed,
    update_mail_sent,
    update_signed_in,
    update_unconfirmed_user,
    update_user,
)

__all__ = [
    "EMAIL_ONLY",
    "Ended",
    "consume_code",
    "consume_link",
    "count_log_in_try",
    "delete_ended_sessions",
    "delete_expired_one_time_tokens",
    "delete_log_in_tries",
    "delete_old_log_in_tries",
    "delete_retired_keys",
    "end_idle_sessions",
    "end_sessions",
    "get_session",
    "get_user",
    "get_user_by_email",
    "get_user_of_session",
    "insert_session",
    "insert_signing_key",
    "insert_user",
    "list_sessions",
    "list_signing_keys",
    "lock_session",
    "lock_signing_keys",
    "lock_user",
    "lock_user_for_mail",
    "put_one_time_token",
    "undone",
    "update_email_confirmed",
    "update_mail_sent",
    "update_next_key_active",
    "update_refreshed",
    "update_signed_in",
    "update_unconfirmed_user",
    "update_user",
]
