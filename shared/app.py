"""The Flask app of a service: one way to answer errors, log a request, say how one is, and describe oneself."""

import atexit
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from flask import Response, current_app, g, request
from flask_openapi3 import Info, OpenAPI
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from shared import json_body, logs, metrics, trace
from shared.errors import (
    MEDIA_TYPE,
    BadRequest,
    Forbidden,
    HTTPProblem,
    PayloadTooLarge,
    Problem,
    ProblemDocument,
    UnsupportedMediaType,
    ValidationFailed,
    validation_problem,
)
from shared.ids import new_id
from shared.routing import Access, Blueprint
from shared.settings import Settings
from shared.tokens import Verifier, bearer

if TYPE_CHECKING:
    from shared.spans import Spans

log = logging.getLogger("access")
ReadyChecks = Mapping[str, Callable[[], None]]
OWN_ROUTES = frozenset({"livez", "readyz", "metrics", "openapi"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def create_app(
    component: str,
    settings: Settings,
    *,
    title: str,
    blueprints: Sequence[Blueprint],
    ready: ReadyChecks,
) -> OpenAPI:
    """Wire a service. `ready` maps a dependency's name to a callable that raises when it does not answer."""
    logs.configure(component, settings.log_level)
    trace.start(component)
    atexit.register(trace.stop)
    app = _App(
        component,
        info=Info(title=title, version="1"),
        doc_ui=False,
        security_schemes={"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        validation_error_status=400,
        validation_error_model=ProblemDocument,
        validation_error_callback=_refuse_invalid,
        static_folder=None,
        root_path=os.getcwd(),  # else Flask looks for a module named like the component: `profile` is one of Python's
    )
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
    app.url_map.strict_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.extensions["verifier"] = Verifier(settings.jwks_url, settings.issuer, settings.audience)
    app.before_request(_begin)
    app.before_request(_authorise)
    app.before_request(_read_body)
    app.after_request(_end)
    app.register_error_handler(Exception, _answer_error)
    for blueprint in blueprints:
        app.register_api(blueprint)
    _register_own_routes(app, ready)
    return app


class _App(OpenAPI):  # type: ignore[misc]
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No handler is a coroutine; Flask would look at each of them again and again in every request."""
        return func


def _begin() -> None:
    g.started = time.perf_counter()
    trace.request_id.set(trace.accept_request_id(request.headers.get("X-Request-Id")) or str(new_id()))
    trace.traceparent.set(trace.begin(request.headers.get("traceparent")))
    _refuse_broken_address()


def _refuse_broken_address() -> None:
    """Werkzeug would put U+FFFD for what is not UTF-8, and two different addresses would look alike."""
    path, query = request.environ["PATH_INFO"], request.query_string
    try:
        if not path.isascii():
            path.encode("latin-1").decode()  # PEP 3333 hands the bytes over like this
        if b"%" in query or not query.isascii():
            unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The address is not valid UTF-8.") from error
    if "\x00" in path or b"%00" in query:
        raise BadRequest("The address holds the character U+0000.")


def _view() -> Any:
    return current_app.view_functions.get(request.endpoint or "")


def _authorise() -> None:
    """Hold the caller against what the route declares, before anything of the request is parsed."""
    access: Access | None = getattr(_view(), "access", None)
    if access is None or access.kind == "public" or request.method == "OPTIONS":
        return
    verifier: Verifier = current_app.extensions["verifier"]
    g.claims = claims = verifier.verify(bearer(request.headers.get("Authorization")))
    if access.kind == "service" and claims.role != "service":
        raise Forbidden("Only another service may call this.", code="service_only")
    if access.scope and not claims.has_scope(access.scope):
        raise Forbidden(f"The token lacks the scope {access.scope}.", code="insufficient_scope")
    if access.aal == "aal2" and claims.aal != "aal2":
        raise Forbidden("This needs a second factor.", code="insufficient_aal")


def _read_body() -> None:
    places: Mapping[str, str] = getattr(_view(), "places", {})
    if "body" not in places.values() or request.method == "OPTIONS":
        return
    if getattr(_view(), "may_lack_body", False) and not _received():
        request._cached_json = (g.setdefault("json_body", {}), g.json_body)
        return
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise UnsupportedMediaType("Send the body as application/json.")
    value = json_body.parse(_received())
    g.json_body = value
    # flask-openapi3 asks the request for its JSON: let it have the value that was judged, not a second parse.
    request._cached_json = (value, value)


def _received() -> bytes:
    """The whole body. Werkzeug silently cuts a chunked one off at the limit, and gunicorn's errors are its own."""
    try:
        data = request.get_data(cache=True)
    except ParseException as error:
        raise BadRequest("The body's chunks are broken.") from error
    if request.content_length is None and len(data) >= current_app.config["MAX_CONTENT_LENGTH"]:
        raise _too_large()
    return data


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {current_app.config['MAX_CONTENT_LENGTH']} bytes.")


def _refuse_invalid(error: ValidationError) -> Response:
    places: Mapping[str, str] = getattr(_view(), "places", {})
    raise validation_problem(error, places.get(error.title, "body"))


def _route() -> str:
    """The route template: a raw path as a label or in a log would be unbounded, and may hold what is private."""
    return request.url_rule.rule if request.url_rule else "(none)"


def _method() -> str:
    """The method if it is one that we answer: any word may be sent as a method, and each would be a time series."""
    return request.method if request.method in METHODS else "(other)"


def _end(response: Response) -> Response:
    duration_s = time.perf_counter() - g.get("started", time.perf_counter())
    if request_id := trace.request_id.get():
        response.headers["X-Request-Id"] = request_id
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    route = _route()
    method = _method()
    metrics.count_request(method, route, response.status_code, duration_s)
    if request.endpoint not in OWN_ROUTES and log.isEnabledFor(logging.INFO):
        fields: dict[str, Any] = {
            "method": method,
            "route": route,
            "status": response.status_code,
            "duration_ms": round(duration_s * 1000, 2),
            "bytes": response.calculate_content_length(),
        }
        if "claims" in g:
            fields["user_id"] = str(g.claims.sub)
            if g.claims.act is not None:
                fields["actor_id"] = str(g.claims.act.sub)
        log.info("request", extra={logs.FIELDS: fields})
        if trace.spans is not None:
            _end_span(trace.spans, method, route, response.status_code, duration_s)
    return response


def _end_span(spans: "Spans", method: str, route: str, status: int, duration_s: float) -> None:
    from shared.spans import SERVER

    about: dict[str, str | int | bool | float] = {
        "http.request.method": "_OTHER" if method == "(other)" else method,
        "http.response.status_code": status,
        "gatehouse.request_id": trace.request_id.get() or "",
    }
    if request.url_rule is not None:
        about["http.route"] = route
    if status >= 500:
        about["error.type"] = str(status)
    own, parent = trace.traceparent.get(), request.headers.get("traceparent")
    name = f"{method} {route}" if request.url_rule is not None else method
    if own is not None:
        spans.end(own, parent, SERVER, name, duration_s, about, is_error=status >= 500)


def _answer_error(error: Exception) -> Response:
    problem = problem_of(error)
    body = problem.body(trace.request_id.get())
    return Response(body, problem.status, headers=problem.headers, content_type=MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """The problem that an error is to the caller; a failure of ours is logged."""
    problem = _as_problem(error)
    if problem.status >= 500:
        level = logging.ERROR if problem.status == 500 else logging.WARNING
        log.log(level, "failed: %s", problem.code, exc_info=error)
    return problem


def _as_problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException) and error.code == 413:
        return _too_large()
    if isinstance(error, HTTPException) and error.code is not None:
        headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
        title = HTTPStatus(error.code).phrase
        return HTTPProblem(error.code, title, _detail(error), headers)
    if isinstance(error, UnicodeError):
        return ValidationFailed("The request holds text that is not valid UTF-8.")
    if isinstance(error, RecursionError):  # forms are searched for JSON before any code of ours sees them
        return ValidationFailed("The request is nested too deeply.")
    return Problem("Something went wrong here; it has been logged under the request id.")


def _detail(error: HTTPException) -> str:
    if error.code == 404:
        return "There is nothing at this address."
    if error.code == 405:
        return "This method is not possible here."
    return error.description or "The request cannot be answered."


def _register_own_routes(app: OpenAPI, ready: ReadyChecks) -> None:
    def livez() -> Response:
        return Response("ok\n", mimetype="text/plain")

    def readyz() -> Response:
        return answer_ready(ready)

    def expose_metrics() -> Response:
        body, content_type = metrics.expose()
        return Response(body, content_type=content_type)

    def openapi() -> dict[str, Any]:
        return dict(app.api_doc)

    app.add_url_rule("/livez", "livez", livez)
    app.add_url_rule("/readyz", "readyz", readyz)
    app.add_url_rule("/metrics", "metrics", expose_metrics)
    app.add_url_rule("/openapi.json", "openapi", openapi)


def answer_ready(ready: ReadyChecks) -> Response:
    """200, or a 503 problem that names every dependency that does not answer."""
    failed = []
    for name, check in ready.items():
        try:
            check()
        except Exception as error:
            log.warning("not ready: %s: %s", name, error)
            failed.append(name)
    if failed:
        problem = HTTPProblem(503, "Service Unavailable", f"Not ready: {', '.join(failed)}.", {"Retry-After": "2"})
        problem.code = "not_ready"
        return Response(problem.body(trace.request_id.get()), 503, headers=problem.headers, content_type=MEDIA_TYPE)
    return Response("ok\n", mimetype="text/plain")
