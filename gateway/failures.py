"""What ends an exchange when its answer does not come, or not to the end: time, or the service."""

from typing import TYPE_CHECKING

from gateway.problems import BadGateway, GatewayTimeout, RequestTimeout
from gateway.uploads import HELD
from shared.errors import Problem, Unavailable

if TYPE_CHECKING:
    from gateway.connection import UpstreamConnection
    from gateway.exchange import Exchange

LATE = "The rest of the request did not come in time."


def deadline_passed(exchange: "Exchange") -> None:
    """Something took too long: what it was decides who is told what."""
    call, client, service = exchange.call, exchange.client, exchange.route.service
    if exchange.is_discarding:
        client.transport.abort()
        exchange.finish()
    elif exchange.has_head:
        exchange.refuse(GatewayTimeout("Nothing moved for too long."))
    elif exchange.fetch is not None:
        exchange.gate.keeper.give_up(exchange, exchange.fetch)
    elif service is None:
        exchange.refuse(Unavailable("The gateway is too busy to answer this itself."))
    elif exchange.upload == HELD:
        exchange.refuse(service.busy() if client.is_read_paused else RequestTimeout(LATE))
    elif call is None:
        exchange.refuse(Unavailable("The keys that verify tokens cannot be fetched now."))
    elif call.connection is None:
        exchange.refuse(call.not_connected())
    elif not exchange.request.is_complete and not client.is_read_paused:
        exchange.refuse(RequestTimeout(LATE))
    else:
        call.failed(GatewayTimeout(f"The {exchange.route.upstream} service did not answer in time."))


def upstream_failed(exchange: "Exchange", problem: Problem) -> None:
    """The upstream does not speak HTTP, or not to the end."""
    if exchange.is_over:
        return
    if exchange.call is not None and not exchange.has_head:
        exchange.call.failed(problem, may_repeat=False)
    else:
        exchange.refuse(problem)


def upstream_lost(exchange: "Exchange", connection: "UpstreamConnection") -> None:
    """The upstream's connection ended before its response did."""
    if exchange.is_over:
        return
    problem = BadGateway(f"The {connection.pool.name} service closed the connection before it answered.")
    if exchange.call is not None and not exchange.has_head:
        exchange.call.lost(connection, problem)
    else:
        exchange.refuse(problem)
