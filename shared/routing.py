"""Routes of a service: typed handlers, access declared where a route is registered, answers from pydantic models.

    @bp.post("/documents", status=201)
    @user(scope="data:write")
    def create_document(body: NewDocument) -> Document: ...

Parameters named `body`, `query` and `path` are pydantic models; the return annotation is the success answer. Both also
make the service's OpenAPI document.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, ClassVar, TypeVar, get_args, get_type_hints, overload

from flask import Response, g, request
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, ConfigDict

from shared.errors import (
    MEDIA_TYPE,
    FieldError,
    PreconditionFailed,
    PreconditionRequired,
    ProblemDocument,
    ValidationFailed,
)
from shared.tokens import Claims

Handler = TypeVar("Handler", bound=Callable[..., Any])
PROBLEM_ANSWER: dict[str, Any] = {
    "description": "A problem document (RFC 9457)",
    "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}},
}


class Body(BaseModel):
    """A request body. Unknown names are refused, and JSON types are not coerced (`"5"` is not a number).

    One that `may_be_missing` is read as an empty object then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    may_be_missing: ClassVar[bool] = False

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Any:
        """Judge the bytes that arrived: in JSON mode a string may become a UUID or a time, but never a number."""
        if obj is g.get("json_body"):
            return cls.model_validate_json(request.get_data() or b"{}", strict=True)
        return super().model_validate(obj, **options)


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Cached: flask-openapi3 asks for it on every request with a query, and making it costs more than the query."""
        if args or kwargs:
            return super().model_json_schema(*args, **kwargs)
        return _schema(cls)


@cache
def _schema(model: type[_Parameters]) -> dict[str, Any]:
    return super(_Parameters, model).model_json_schema()


class Query(_Parameters):
    """The query string; unknown names are refused."""


class Form(_Parameters):
    """What a form of a page sends. Each field is the text that was typed: a password of digits is no number.

    Fields this form does not have are ignored, for browsers and their extensions add some.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Any:
        """flask-openapi3 reads every field as JSON where it can; here they are read anew."""
        return super().model_validate(request.form.to_dict(), **options)


class Path(_Parameters):
    """The variable parts of the path."""


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Access:
    """Who may call a route: anyone, a signed-in person, or another service; and with which scope and assurance."""

    kind: str
    scope: str | None = None
    aal: str = "aal1"


def public(handler: Handler) -> Handler:
    """Anyone may call; no token is looked at."""
    return _declare(handler, Access("public"))


@overload
def user(handler: Handler) -> Handler: ...


@overload
def user(*, scope: str | None = None, aal: str = "aal1") -> Callable[[Handler], Handler]: ...


def user(handler: Handler | None = None, *, scope: str | None = None, aal: str = "aal1") -> Any:
    """A signed-in person may call, `@user` or `@user(scope="…", aal="aal2")`."""
    access = Access("user", scope, aal)
    return _declare(handler, access) if handler else lambda decorated: _declare(decorated, access)


def service(*, scope: str) -> Callable[[Handler], Handler]:
    """Another service may call, with `role: service` and this scope in its token."""
    access = Access("service", scope)
    return lambda handler: _declare(handler, access)


def _declare(handler: Handler, access: Access) -> Handler:
    handler.access = access  # type: ignore[attr-defined]
    return handler


def caller() -> Claims:
    """The verified claims of this request; only on routes that are not public."""
    claims: Claims = g.claims
    return claims


class Blueprint(APIBlueprint):  # type: ignore[misc]
    """A noun's routes. Registering a handler that does not say who may call it raises TypeError."""

    def __init__(self, name: str, import_name: str, *, url_prefix: str) -> None:
        super().__init__(
            name,
            import_name,
            url_prefix=url_prefix,
            abp_responses={"4XX": PROBLEM_ANSWER, "5XX": PROBLEM_ANSWER},
            operation_id_callback=lambda *, name, path, method: name,
        )

    def get(self, rule: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._register("get", rule, options)

    def post(self, rule: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._register("post", rule, options)

    def put(self, rule: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._register("put", rule, options)

    def patch(self, rule: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._register("patch", rule, options)

    def delete(self, rule: str, **options: Any) -> Callable[[Handler], Handler]:
        return self._register("delete", rule, options)

    def _register(self, verb: str, rule: str, options: dict[str, Any]) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            access: Access | None = getattr(handler, "access", None)
            if access is None:
                raise TypeError(f"{handler.__qualname__}: say who may call it: @public, @user or @service")
            hints = get_type_hints(handler)
            answer = _answer_model(hints.get("return"))
            status = options.pop("status", 204 if answer is None else 200)
            if access.kind != "public":
                options.setdefault("security", [{"bearer": [access.scope] if access.scope else []}])
            view = _answering(handler, status)
            view.places = {  # type: ignore[attr-defined]
                hints[place].__name__: place for place in ("body", "query", "path") if place in hints
            }
            if getattr(hints.get("body"), "may_be_missing", False):
                view.may_lack_body = True  # type: ignore[attr-defined]
                hints["body"].model_config["openapi_extra"] = {"required": False}
            decorate = getattr(APIBlueprint, verb)
            decorate(self, rule, responses={status: answer}, **options)(view)
            return handler

        return register


def _answer_model(annotation: Any) -> type[BaseModel] | None:
    """The model of `Model`, `tuple[Model, int]` or `Model | Response`; None without any."""
    for part in get_args(annotation) or (annotation,):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _answering(handler: Callable[..., Any], status: int) -> Callable[..., Any]:
    """Turn a model, `(model, status)` or None into a response; a Response passes untouched."""

    @wraps(handler)
    def view(**parameters: Any) -> Response:
        result = handler(**parameters)
        if isinstance(result, Response):
            return result
        body, code = result if isinstance(result, tuple) else (result, status)
        if body is None:
            return Response(status=code)
        return Response(body.model_dump_json(by_alias=True), code, mimetype="application/json", headers=_etag_header())

    return view


def set_etag(version: object) -> None:
    """Answer with the strong ETag `"version"` (RFC 9110, section 8.8.3)."""
    g.etag = f'"{version}"'


def _etag_header() -> dict[str, str]:
    return {"ETag": g.etag} if "etag" in g else {}


def require_match(version: object, *, required: bool = False) -> None:
    """Hold `If-Match` / `If-None-Match` of a write against the stored version (RFC 9110, section 13).

    Raise PreconditionFailed when they differ, PreconditionRequired when `required` and neither header is there.
    `version` None means that nothing is stored yet.
    """
    current = None if version is None else f'"{version}"'
    wanted, unwanted = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if wanted is None and unwanted is None and required:
        raise PreconditionRequired("Send If-Match with the ETag you last saw.")
    if wanted is not None and not _names(wanted, current):
        raise PreconditionFailed("It has changed since: read it again.", headers={"ETag": current} if current else None)
    if unwanted is not None and _names(unwanted, current, weak=True):
        raise PreconditionFailed("It exists already.", headers={"ETag": current} if current else None)


def is_not_modified(version: object) -> bool:
    """True if a GET's `If-None-Match` names the stored version, so that 304 is the answer. Sets the ETag."""
    set_etag(version)
    unwanted = request.headers.get("If-None-Match")
    return unwanted is not None and _names(unwanted, f'"{version}"', weak=True)


def not_modified() -> Response:
    """304 with the ETag set before."""
    return Response(status=304, headers=_etag_header())


def _names(header: str, current: str | None, *, weak: bool = False) -> bool:
    """Is `current` in the list? If-None-Match compares weakly, If-Match strongly: there a weak tag matches nothing."""
    tags = {tag.strip() for tag in header.split(",")}
    if current is None or tags == {"*"}:
        return current is not None
    return current in ({tag.removeprefix("W/") for tag in tags} if weak else tags)


def header_problem(name: str, detail: str) -> ValidationFailed:
    """A 400 that names a wrong header."""
    return ValidationFailed(f"{name}: {detail}", errors=[FieldError(detail=detail, header=name)])
