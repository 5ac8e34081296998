"""The gate for administrators who act for somebody else: of what a person may do here they may do what MAY names.

It asks what a request is for, not what the handler would do with it: an endpoint that nobody thought of here is closed.
"""

from flask import g, request

from shared.errors import Forbidden
from shared.tokens import Claims

MAY = frozenset({"users.get_user", "sessions.list_sessions", "sessions.log_out"})


def refuse_impersonated() -> None:
    """Raise Forbidden(impersonated) for what belongs to the person alone: password, factors, addresses, roles, …"""
    claims: Claims | None = g.get("claims")
    if claims is not None and claims.act is not None and request.endpoint not in MAY:
        raise Forbidden("Who acts for somebody else may not do this.", code="impersonated")
