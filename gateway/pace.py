"""How slowly a request's body may come: a client that sends a byte now and then would never be idle, and never end.

Each body has `idle_s` of its route as credit. Time uses it up, and bytes fill it, never beyond that: so many are worth
a second. While the gateway itself does not read, as the service is slow, no time passes. (For who takes an answer
slowly `idle_s` is enough: an answer moves on only when some ten thousand bytes have been taken.)
"""

from typing import TYPE_CHECKING

from gateway.problems import RequestTimeout

if TYPE_CHECKING:
    from gateway.client import ClientConnection
    from gateway.exchange import Exchange


class Pace:
    """How the body of one exchange has come, as seen now and then."""

    __slots__ = ("_at", "_bytes", "_credit_s", "exchange")

    def __init__(self, exchange: "Exchange", now: float) -> None:
        self.exchange = exchange
        self._at = now
        self._bytes = exchange.request.body_bytes
        self._credit_s = exchange.route.idle_s

    def is_kept(self, now: float, rate: int) -> bool:
        """Look again; False if the client has used up its credit."""
        came = self.exchange.request.body_bytes
        credit_s = self._credit_s + (came - self._bytes) / rate - (now - self._at)
        self._credit_s = min(credit_s, self.exchange.route.idle_s)
        self._at, self._bytes = now, came
        return credit_s >= 0


def look(client: "ClientConnection", now: float, rate: int) -> None:
    """Hold a client to the rate: 408 if an answer can still be given, else the connection is broken."""
    exchange = client.exchange
    if exchange is None or exchange.request.is_complete or exchange.is_tunnel or client.is_read_paused:
        client.pace = None
    elif client.pace is None or client.pace.exchange is not exchange:
        client.pace = Pace(exchange, now)
    elif not client.pace.is_kept(now, rate):
        client.pace = None
        exchange.refuse(RequestTimeout("The body comes too slowly."))
