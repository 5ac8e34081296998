"""Sessions that ended early: the set each worker holds, until the last token of each has expired."""

import time

from shared.tokens import LEEWAY_S, TOKEN_LIFETIME_S


class RevocationSet:
    """Session ids whose tokens are refused. Entries leave when no token of theirs can be valid any more."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._until

    def __len__(self) -> int:
        return len(self._until)

    def add(self, session_id: str, revoked_at: float) -> None:
        """Refuse the session's tokens; `revoked_at` is Unix time. What can no longer matter is not kept."""
        until = revoked_at + TOKEN_LIFETIME_S + 2 * LEEWAY_S
        if until > time.time():
            self._until[session_id] = until

    def purge(self) -> None:
        """Forget sessions whose last token has expired."""
        now = time.time()
        self._until = {session_id: until for session_id, until in self._until.items() if until > now}
