"""What outlives the moment its token was looked at: web sockets, answers and uploads under way end with the session."""

import time
from typing import TYPE_CHECKING

from shared.tokens import refusal

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
            self._waiting = [one for one in self._waiting if not (one.is_over or _with_session(one))]

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
            _with_token(exchange)


def _with_session(exchange: "Exchange") -> bool:
    """Its session has ended: so do a web socket, an answer under way, an upload. False while there is none yet."""
    return _end_early(exchange, "session_revoked", "The session of this token has ended.")


def _with_token(exchange: "Exchange") -> bool:
    """Its token has expired, and the route lets nothing outlive it. False while there is nothing to end yet."""
    return _end_early(exchange, "token_expired", "The token has expired.")


def _end_early(exchange: "Exchange", code: str, detail: str) -> bool:
    if exchange.is_tunnel:
        exchange.client.transport.abort()  # the tunnel's `_over` follows
    elif exchange.has_head or not exchange.request.is_complete:
        exchange.refuse(refusal(code, detail))
    else:
        return False
    return True
