"""Whether a request may pass, and where to: route, method, size, limits, token, scopes. One step leads to the next."""

from typing import TYPE_CHECKING

from gateway.grants import OWN
from gateway.paths import normalise
from gateway.problems import MethodNotAllowed, insufficient_aal, insufficient_scope, no_upgrade
from gateway.request import Request
from gateway.table import OPTIONAL, PUBLIC, Route, Table
from shared.errors import NotFound, PayloadTooLarge, Problem, Unauthorized
from shared.tokens import missing, refusal

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.grants import Grant

KEY_FETCH_S = 5.0
# What is wrong with a token that somebody we trust has signed, or with a request that has none.
GENUINE = frozenset({"token_missing", "token_expired", "token_not_yet_valid", "session_revoked"})
NO_ROUTE = Route(template="(none)", methods=frozenset(), upstream=None, access=PUBLIC, max_body_bytes=0)


def authenticate(exchange: "Exchange") -> None:
    """The step after the limits that need not know the user. Raise the Problem if the request may not pass."""
    route = exchange.route
    if route.access != PUBLIC:
        authorization = exchange.request.authorization
        if authorization is None:
            if route.access != OPTIONAL:
                raise missing()
        elif not _authorise(exchange, authorization):
            return
    _pass(exchange)


def _pass(exchange: "Exchange") -> None:
    limits = exchange.route.user_limits
    if not limits or exchange.gate.limiter.admit(exchange, limits, forward):
        exchange.forward()


def forward(exchange: "Exchange") -> None:
    """The last step."""
    exchange.forward()


def _authorise(exchange: "Exchange", authorization: bytes) -> bool:
    """False if the keys must be fetched first: `_go_on_with_keys` takes the steps that are left."""
    try:
        grant = exchange.gate.tokens.check(authorization)
    except Unauthorized as problem:
        _refuse_token(exchange, problem)
        return False
    if grant is None:
        exchange.client.set_deadline(KEY_FETCH_S)
        exchange.gate.later(_go_on_with_keys(exchange, authorization))
        return False
    if exchange.route.is_guarded or grant.issuer != OWN:
        check_grant(exchange.route, grant)
    exchange.grant = grant
    return True


async def _go_on_with_keys(exchange: "Exchange", authorization: bytes) -> None:
    tokens = exchange.gate.tokens
    try:
        await tokens.fetch_keys(authorization)
        if exchange.is_over:
            return
        try:
            exchange.grant = tokens.check_after_fetch(authorization)
        except Unauthorized as problem:
            _refuse_token(exchange, problem)
            return
        check_grant(exchange.route, exchange.grant)
        _pass(exchange)
        exchange.flush_request()
    except Problem as problem:
        if not exchange.is_over:
            exchange.refuse(problem)


def _refuse_token(exchange: "Exchange", problem: Unauthorized) -> None:
    """Raise the problem, or RateLimited where too many tokens that are nobody's came from this address.

    Nothing is raised if that is still to be found out elsewhere. A token that was good once is not counted: behind one
    address there may be thousands of phones, and some wake with an old one.
    """

    def refuse(_: "Exchange") -> None:
        raise problem

    limits = exchange.route.forged_limits
    if not limits or problem.code in GENUINE or exchange.gate.limiter.admit(exchange, limits, refuse):
        raise problem


def find_route(exchange: "Exchange", request: Request) -> None:
    """Set the exchange's route and the target it asks its upstream for. Raise the Problem if it may not."""
    gate, line = exchange.gate, request.line
    table = gate.operators_table if exchange.client.is_operator else gate.table
    if line is not None and line.table is table:
        exchange.route, exchange.target = line.route, line.sent_on
    else:
        _look_up(exchange, request, table)
    route = exchange.route
    if request.wants_websocket and not route.may_upgrade:
        raise no_upgrade()
    if route.conditions is not None:
        route.conditions.check(request)
    if request.content_length is not None and request.content_length > route.max_body_bytes:
        raise too_large(route)


def _look_up(exchange: "Exchange", request: Request, table: Table) -> None:
    route, exchange.target, others = table.place(request.method, request.target)
    if route is not None:
        exchange.route = route
    elif others:
        exchange.route = next(iter(others.values()))
        raise MethodNotAllowed(method.decode() for method in others)
    else:
        raise NotFound("There is nothing at this address.")


def preflight(exchange: "Exchange", request: Request) -> list[bytes] | None:
    """The fields that answer a CORS preflight; None if this is none, or its route does not allow the origin."""
    if request.method != b"OPTIONS" or request.preflight_method is None:
        return None
    methods = exchange.gate.table.match(normalise(request.target.partition(b"?")[0])) or {}
    exchange.route = methods.get(request.preflight_method, exchange.route)
    cors = exchange.route.cors or exchange.gate.cors
    if not cors.allows(request.origin):
        return None
    return cors.preflight(method for method, route in methods.items() if (route.cors or exchange.gate.cors) is cors)


def check_grant(route: Route, grant: "Grant") -> None:
    """Raise Unauthorized for a token of another issuer than the route accepts.

    Raise Forbidden if it lacks scopes the route asks for, or its session a second factor.
    """
    if grant.issuer not in route.issuers:
        raise refusal("token_issuer", "A token of this issuer is not accepted here.")
    if not route.admits(grant.scopes):
        raise insufficient_scope(route.scopes_all or route.scopes_any)
    if route.needs_aal2 and not grant.is_aal2:
        raise insufficient_aal()


def too_large(route: Route) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {route.max_body_bytes} bytes.")
