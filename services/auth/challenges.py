"""What a WebAuthn key has to sign: never kept, but made again from its id when the answer comes.

A challenge is the MAC of its id, its purpose and whom it is for. So nothing of it is at rest, and anyone may ask for
many without filling a table; only the ids of those that were answered are kept, until they expire.
"""

import time
from uuid import UUID

from services.auth.sealing import Sealer

LIFETIME_S = 300
CLOCKS_APART_S = 30  # the id may be from another process of this service

FACTOR = "second factor"
REGISTRATION = "passkey registration"
LOG_IN = "passkey log-in"


def made(sealer: Sealer, purpose: str, challenge_id: UUID, *bound_to: UUID) -> list[bytes]:
    """The challenge under each key of the sealer; the first is the one to send, any may come back."""
    message = b"\n".join([purpose.encode(), *(part.bytes for part in (challenge_id, *bound_to))])
    return sealer.macs(message, "webauthn challenge")


def expires_at(challenge_id: UUID) -> float:
    """In Unix seconds: the id is a UUIDv7, which says when it was made."""
    return (challenge_id.int >> 80) / 1000 + LIFETIME_S


def is_alive(challenge_id: UUID) -> bool:
    left_s = expires_at(challenge_id) - time.time()
    return challenge_id.version == 7 and 0 < left_s <= LIFETIME_S + CLOCKS_APART_S
