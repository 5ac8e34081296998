"""The gateway's own pages. The data path knows their routes; Flask answers them from a thread."""

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from gateway import viewer
from gateway.documents import Documents
from gateway.table import PUBLIC, Route
from shared import metrics, trace
from shared.app import answer_ready
from shared.errors import MEDIA_TYPE, NotFound, Problem

if TYPE_CHECKING:
    from gateway.config import GatewaySettings
    from gateway.gate import Gate

_GET = frozenset({b"GET", b"HEAD"})
PROBES = ("/healthz", "/livez")
OPERATORS_OWN = ("/readyz", "/metrics", "/status")
PATHS = (
    "/openapi.json", "/docs", "/docs/{file}", "/.well-known/jwks.json",
    "/.well-known/assetlinks.json", "/.well-known/apple-app-site-association",
)  # fmt: skip
JWKS_MAX_AGE_S = 600
APPS_MAX_AGE_S = 3_600


def _routes(*paths: str) -> tuple[Route, ...]:
    return tuple(Route(path, _GET, None, PUBLIC, max_body_bytes=0) for path in paths)


OPERATORS = _routes(*PROBES, *OPERATORS_OWN)  # what the operator's listener has, and nothing else


def public(settings: "GatewaySettings") -> tuple[Route, ...]:
    """The pages for everybody: without those of the operator, if they have a listener of their own."""
    return _routes(*PATHS, *PROBES, *(() if settings.ops_bind else OPERATORS_OWN))


def blueprint(gate: "Gate") -> Blueprint:
    """The pages of this gate."""
    bp = Blueprint("pages", __name__)
    bp.register_blueprint(viewer.blueprint(gate.settings.public_url))
    documents = Documents(gate.routes_file, gate.settings.jwks_url)
    gate.followers.append(documents.adopt)

    @bp.before_request
    def begin() -> None:
        trace.request_id.set(request.headers["X-Request-Id"])

    @bp.errorhandler(Problem)
    def answer_problem(problem: Problem) -> Response:
        body = problem.body(trace.request_id.get())
        return Response(body, problem.status, headers=problem.headers, content_type=MEDIA_TYPE)

    @bp.get("/healthz")
    @bp.get("/livez")
    def livez() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @bp.get("/readyz")
    def readyz() -> Response:
        return answer_ready({"revocations": gate.check_caught_up})

    @bp.get("/metrics")
    def expose_metrics() -> Response:
        body, content_type = metrics.expose()
        return Response(body, content_type=content_type)

    @bp.get("/status")
    def status() -> Response:
        return _fresh(documents.status())

    @bp.get("/openapi.json")
    def openapi() -> Response:
        return _fresh(documents.openapi(gate.table, gate.settings.public_url))

    @bp.get("/.well-known/jwks.json")
    def jwks() -> Response:
        return _kept(documents.jwks(), JWKS_MAX_AGE_S)

    @bp.get("/.well-known/assetlinks.json")
    def assetlinks() -> Response:
        apps = gate.routes_file.apps
        if not apps.android:
            raise NotFound("No Android app belongs to this host.")
        return _kept(apps.assetlinks(), APPS_MAX_AGE_S)

    @bp.get("/.well-known/apple-app-site-association")
    def site_association() -> Response:
        apps = gate.routes_file.apps
        if not apps.apple:
            raise NotFound("No iOS app belongs to this host.")
        return _kept(apps.site_association(), APPS_MAX_AGE_S)

    return bp


def _kept(document: Any, max_age_s: int) -> Response:
    response = jsonify(document)
    response.headers["Cache-Control"] = f"public, max-age={max_age_s}"
    return response


def _fresh(document: dict[str, Any]) -> Response:
    response = jsonify(document)
    response.headers["Cache-Control"] = "no-store"
    return response
