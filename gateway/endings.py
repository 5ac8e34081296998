"""What outlives the moment its token was looked at: web sockets, answers and uploads under way end with the session."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.gate import Gate


class Endings:
    """Looks through what is open only when a session has ended, so that no request pays for it."""

    def __init__(self, gate: "Gate") -> None:
        self._gate = gate
        self._waiting: list[Exchange] = []  # of ended sessions: they wait for the service's first byte

    def end_revoked(self) -> None:
        """End what belongs to the sessions that ended since the last time."""
        if ended := self._gate.revoked.take_new():
            self._waiting += [
                exchange
                for client in self._gate.clients
                if (exchange := client.exchange) is not None
                and exchange.grant is not None
                and exchange.grant.session_id in ended
            ]
        if self._waiting:
            self._waiting = [one for one in self._waiting if not (one.is_over or one.end_with_session())]

    def end_expired(self) -> None:
        """End what may not outlive its token: where the route says so, and web sockets of tokens without a session."""
        now = time.time()
        expired = [
            exchange
            for client in self._gate.clients
            if (exchange := client.exchange) is not None
            and (grant := exchange.grant) is not None
            and grant.expires_at <= now
            and (exchange.route.ends_with_token or (exchange.is_tunnel and not grant.session_id))
        ]
        for exchange in expired:
            exchange.end_with_token()
