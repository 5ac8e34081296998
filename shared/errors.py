"""Problems (RFC 9457): raised anywhere, rendered here and nowhere else.

Problem ─┬─ BadRequest 400 ─── ValidationFailed        ├─ PayloadTooLarge 413
         ├─ Unauthorized 401                           ├─ UnsupportedMediaType 415
         ├─ Forbidden 403                              ├─ UnprocessableContent 422
         ├─ NotFound 404                               ├─ PreconditionRequired 428
         ├─ Conflict 409                               ├─ TooManyRequests 429
         ├─ Gone 410                                   └─ Unavailable 503
         └─ PreconditionFailed 412
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError

MEDIA_TYPE = "application/problem+json"
MAX_FIELD_ERRORS = 50  # a body of unknown names must not make an answer larger than itself


class FieldError(BaseModel):
    """One wrong place: a `pointer` into the body (RFC 6901), a query or path `parameter`, or a `header`."""

    detail: str
    pointer: str | None = Field(None, examples=["#/email"])
    parameter: str | None = None
    header: str | None = None


class ProblemDocument(BaseModel):
    """The body of every 4xx and 5xx. `msg` and `error_code` repeat `detail` and `code` for clients of supabase/auth."""

    type: str = Field(examples=["urn:gatehouse:problem:validation_failed"])
    title: str
    status: int
    detail: str
    code: str = Field(description="stable snake_case word to branch on")
    request_id: str | None = None
    errors: list[FieldError] | None = None
    msg: str
    error_code: str


class Problem(Exception):
    """An answer that is not a success. `detail` is for people; `code` is stable and for programs."""

    status = 500
    title = "Internal Server Error"
    code = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.errors = list(errors or [])
        self.headers = dict(headers or {})

    def document(self, request_id: str | None) -> dict[str, Any]:
        """The problem as the JSON object of RFC 9457."""
        document: dict[str, Any] = {
            "type": f"urn:gatehouse:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            "msg": self.detail,
            "error_code": self.code,
        }
        if self.errors:
            document["errors"] = [error.model_dump(exclude_none=True) for error in self.errors]
        return document

    def body(self, request_id: str | None) -> bytes:
        """`document` as UTF-8 JSON."""
        return json.dumps(self.document(request_id), ensure_ascii=False).encode()


class BadRequest(Problem):
    status, title, code = 400, "Bad Request", "bad_request"


class ValidationFailed(BadRequest):
    code = "validation_failed"


class Unauthorized(Problem):
    status, title, code = 401, "Unauthorized", "unauthorized"


class Forbidden(Problem):
    status, title, code = 403, "Forbidden", "forbidden"


class NotFound(Problem):
    status, title, code = 404, "Not Found", "not_found"


class Conflict(Problem):
    status, title, code = 409, "Conflict", "conflict"


class Gone(Problem):
    status, title, code = 410, "Gone", "gone"


class PreconditionFailed(Problem):
    status, title, code = 412, "Precondition Failed", "precondition_failed"


class PayloadTooLarge(Problem):
    status, title, code = 413, "Content Too Large", "payload_too_large"


class UnsupportedMediaType(Problem):
    status, title, code = 415, "Unsupported Media Type", "unsupported_media_type"


class UnprocessableContent(Problem):
    status, title, code = 422, "Unprocessable Content", "unprocessable_content"


class PreconditionRequired(Problem):
    status, title, code = 428, "Precondition Required", "precondition_required"


class TooManyRequests(Problem):
    status, title, code = 429, "Too Many Requests", "too_many_requests"

    def __init__(self, detail: str, *, retry_after_s: int, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after_s)})


class Unavailable(Problem):
    """Something we depend on is down; nothing was lost and the client may try again after `retry_after_s` seconds."""

    status, title, code = 503, "Service Unavailable", "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 2, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after_s)})


class HTTPProblem(Problem):
    """Any other status, as raised by the web framework itself (404, 405, 406, …)."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, code=re.sub(r"[^a-z]+", "_", title.lower().replace("'", "")), headers=headers)
        self.status, self.title = status, title


def validation_problem(error: ValidationError, place: str = "body") -> ValidationFailed:
    """Translate pydantic's errors, without ever echoing the input. `place` is body, query, path or header."""
    found = error.errors(include_input=False, include_url=False)[:MAX_FIELD_ERRORS]
    errors = [_field_error(place, e["loc"], e["msg"]) for e in found]
    first = errors[0]
    where = first.pointer or first.parameter or first.header
    return ValidationFailed(f"{where}: {first.detail}" if where else first.detail, errors=errors)


def _field_error(place: str, location: tuple[int | str, ...], message: str) -> FieldError:
    detail = message.removeprefix("Value error, ")
    if place == "body":
        parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
        return FieldError(detail=detail, pointer="#" + "".join(f"/{part}" for part in parts))
    name = ".".join(str(part) for part in location)
    if place == "header":
        return FieldError(detail=detail, header=name)
    return FieldError(detail=detail, parameter=name)
