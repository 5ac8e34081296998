"""How many messages may be ordered: in all, from one place, and SMS to one number and to numbers beside it.

Whoever earns on a range of numbers has them sent codes (toll fraud), and a bill has no other end than a cap. An order
is counted before anybody looks for whom it is: so what is left tells nobody who has an account.

Where the owner of a number has logged in before, what others order for it and for numbers beside it does not count: by
ordering, a stranger keeps nobody out there. So there may be twice as many of a number and a block in all.
"""

import hashlib
from uuid import UUID

from prometheus_client import Gauge

from services.auth.metrics import MESSAGES_ADMITTED
from services.auth.parts import here
from services.auth.protection_settings import ProtectionSettings
from services.auth.store import Bucket
from services.auth.throttles import is_where_owner_was, place_of, require_room
from shared.postgres import Connection

HOUR_S, DAY_S = 3_600, 86_400
BLOCK_DIGITS = 3  # numbers that differ in these are beside each other
CAPS = Gauge(
    "auth_message_cap",
    "Most messages that may be ordered in all, in a period",
    ["channel", "period"],
    multiprocess_mode="max",
)


def publish(settings: ProtectionSettings) -> None:
    """Say in the metrics what the caps are, so that an alert can tell how near they are."""
    CAPS.labels("sms", "hour").set(settings.sms_per_hour)
    CAPS.labels("sms", "day").set(settings.sms_per_day)
    CAPS.labels("email", "hour").set(settings.mails_per_hour)


def admit_sms(conn: Connection, phone: str, *, owner: UUID | None = None) -> None:
    """Count an SMS to a number. Raise TooManyRequests(over_sms_send_rate_limit), which takes back what the transaction
    has done. Nothing is sent to a number with a fixed code, so none is counted.

    The `owner` is who logs in with it, unless they have shown that it is a factor of theirs.
    """
    if phone in here.settings.fixed_codes:
        return
    settings = here.settings
    by = "its owner" if is_where_owner_was(conn, phone, owner) else "anybody"
    caps = [
        _cap("sms_place", place_of("sms"), settings.sms_per_place, HOUR_S),
        Bucket("sms_number", _key(f"sms to {phone} by {by}"), settings.sms_per_number, DAY_S, steps=0),
        _cap("sms_block", _key(f"sms beside {phone[:-BLOCK_DIGITS]} by {by}"), settings.sms_per_block, HOUR_S),
        _cap("sms_hour", _key("sms of an hour"), settings.sms_per_hour, HOUR_S),
        _cap("sms_day", _key("sms of a day"), settings.sms_per_day, DAY_S),
    ]
    require_room(conn, caps, "over_sms_send_rate_limit")
    MESSAGES_ADMITTED.labels("sms").inc()


def admit_mail(conn: Connection, email: str) -> None:
    """Count a mail that anybody may order. Raise TooManyRequests(over_email_send_rate_limit), like `admit_sms`.

    Mails that warn somebody are not counted: they must always go.
    """
    if email in here.settings.fixed_codes:
        return
    settings = here.settings
    caps = [
        _cap("email_place", place_of("email"), settings.mails_per_place, HOUR_S),
        _cap("email_hour", _key("mails of an hour"), settings.mails_per_hour, HOUR_S),
    ]
    require_room(conn, caps, "over_email_send_rate_limit")
    MESSAGES_ADMITTED.labels("email").inc()


def _cap(name: str, key: bytes, most: int, window_s: int) -> Bucket:
    """At most so many in any window, wherever it begins: half of them at once, the other half while it lasts."""
    return Bucket(name, key, (most + 1) // 2, window_s * ((most + 1) // 2) / max(1, most // 2), steps=0)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
