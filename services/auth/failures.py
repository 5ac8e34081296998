"""Log-ins that failed, in the audit log: not a row for each, or a flood could make it grow without bound.

The 1st, 2nd, 4th, 8th … failure of an account in a day has a row, which says how many there were: n of them make
log2(n) + 1 rows at most. Addresses that nobody has leave none; what they cost is the same.
"""

import hashlib

from services.auth import rows, store
from services.auth.audit import note
from services.auth.parts import here

STRANGERS = 1 << 20  # places that addresses without an account share: a bound on the table that counts


def note_failed_log_in(address: str, user: rows.User | None, method: str, why: str) -> None:
    """Count a failure to log in at this address, and note it if it is one to be noted.

    In a transaction of its own, for the one that failed is not committed. Raise Unavailable.
    """
    with here.db.transaction() as conn:
        failures = store.count_failed_log_in(conn, _account(address, user))
        if failures & (failures - 1):
            return
        with store.kept_if(conn, user is not None):  # the same work for nobody, of whom nothing is kept
            note(conn, "log_in.failed", user.id if user else None, method=method, why=why, failures=failures)


def _account(address: str, user: rows.User | None) -> bytes:
    if user is not None:
        return hashlib.sha256(f"user\n{user.id}".encode()).digest()
    slot = int.from_bytes(hashlib.sha256(f"address\n{address.lower()}".encode()).digest()) % STRANGERS
    return hashlib.sha256(f"stranger\n{slot}".encode()).digest()
