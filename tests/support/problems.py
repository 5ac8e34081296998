"""Reading a problem document (RFC 9457) out of an answer."""

from typing import Any

from werkzeug.test import TestResponse

MEMBERS = {"type", "title", "status", "detail", "code", "request_id", "msg", "error_code"}


def problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The document; fails unless it is whole and says this."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    document: dict[str, Any] = answer.get_json()
    assert document.keys() - {"errors"} == MEMBERS
    assert (document["status"], document["code"]) == (status, code), document
    assert document["type"] == f"urn:gatehouse:problem:{code}"
    assert document["request_id"] == answer.headers["X-Request-Id"]
    return document


def pointers(document: dict[str, Any]) -> set[str]:
    """The places of the body that are wrong."""
    return {error["pointer"] for error in document["errors"]}
