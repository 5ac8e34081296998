"""Telling a person of a log-in on a device that they have never logged in with.

A device is known by what its requests say of it, without the numbers in it, so that neither an update nor a client
that keeps no cookie looks like a new one. That is no proof: it warns of a stranger, it keeps nobody out.
"""

import hashlib
import re
from uuid import UUID

from flask import request

from services.auth import rows, store
from services.auth.alerts import alert
from services.auth.devices import Device, device_of
from services.auth.parts import here
from shared.postgres import Connection

KEPT = 50
TOLD_A_DAY = 3
NUMBERS = re.compile(r"\d+(?:[._]\d+)*")


def recognise(conn: Connection, user: rows.User, session: rows.Session) -> bool:
    """Know the device of this new session from now on. True if it was new to a person who has others; they are told.

    At most TOLD_A_DAY mails in 24 hours, whatever a client says of itself.
    """
    fingerprint = _fingerprint(user.id, device_of(request))
    seen = store.put_known_device(conn, user.id, fingerprint)
    if seen.is_known:
        return False
    if not seen.others and not _has_others(conn, user.id, session, fingerprint):
        return False
    store.delete_surplus_known_devices(conn, user.id, keep=KEPT)
    if here.settings.new_device_mails and seen.told_today < TOLD_A_DAY:
        store.update_told_of_device(conn, user.id, fingerprint)
        alert(conn, user, "new_device", session_id=session.id)
    return True


def _has_others(conn: Connection, user_id: UUID, session: rows.Session, fingerprint: bytes) -> bool:
    """True if the person has sessions of days when no device was known yet, none of them with this one."""
    living = store.list_sessions(conn, user_id, before=None, limit=KEPT)
    prints = {
        _fingerprint(user_id, Device(one.device_name, one.user_agent, None, one.platform))
        for one in living
        if one.id != session.id
    }
    store.insert_known_devices(conn, user_id, sorted(prints))
    return bool(prints) and fingerprint not in prints


def _fingerprint(user_id: UUID, device: Device) -> bytes:
    said = "\n".join((str(user_id), device.platform, NUMBERS.sub("#", device.user_agent)))
    return hashlib.sha256(said.encode()).digest()
