"""What a password costs where there is none to judge.

An imported hash (bcrypt, PBKDF2, scrypt) takes another time than ours until its first log-in. So that a stopwatch does
not tell such a user from nobody, as large a share of the addresses that nobody has costs what one of those hashes
costs: always the same one for an address, chosen by a MAC. What they say is never believed.
"""

import threading
import time

from services.auth import store
from services.auth.sealing import Sealer
from shared.postgres import Database

KEPT_S = 600
SAMPLE = 64


class Decoys:
    """Read anew every ten minutes, by whoever comes then, known or not."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db, self._sealer = db, sealer
        self._lock = threading.Lock()
        self._found = store.ForeignHashes(0, [])
        self._read_at: float | None = None

    def hash_for(self, address: str) -> str | None:
        """Whose cost this address has if nobody has a password there; None: that of our own hashes.

        Call it for known addresses too, and while no connection is held.
        """
        found = self._current()
        mac = self._sealer.macs(address.encode(), "decoy of an address")[0]
        place = int.from_bytes(mac[:8]) / 2**64
        return found.hashes[int(place / found.share * len(found.hashes))] if place < found.share else None

    def _current(self) -> store.ForeignHashes:
        with self._lock:
            if self._read_at is None or time.monotonic() > self._read_at + KEPT_S:
                with self._db.transaction() as conn:
                    self._found = store.sample_foreign_hashes(conn, limit=SAMPLE)
                self._read_at = time.monotonic()
            return self._found
