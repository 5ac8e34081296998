"""A log line is one JSON object, whatever is logged, and holds no secret that slipped in."""

import json
import logging
from typing import Any

import pytest

from shared.logs import JsonFormatter, redact

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


def line(message: str, *arguments: Any, error: BaseException | None = None, **extra: Any) -> dict[str, Any]:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("things", logging.INFO, __file__, 1, message, arguments, exc_info)
    vars(record).update(extra)
    text = JsonFormatter("auth").format(record)
    assert "\n" not in text
    text.encode()
    parsed: dict[str, Any] = json.loads(text)
    return parsed


SECRETS = [
    ("token is %s here", JWT),
    ("GET /x Authorization: Bearer %s", "abc.def-ghi"),
    ("Authorization: Basic %s", "dXNlcjpodW50ZXIy"),
    ("cannot reach postgresql://auth:%s@db:5432/auth", "hunter2"),
    ("cannot reach redis://:%s@cache/0", "hunter2"),
    ("password=%s&next=1", "hunter2"),
    ("refresh_token=%s", "hunter2"),
    ("client_secret=%s", "hunter2"),
    ("SignUp(email='a@example.org', password='%s')", "hunter2 with space"),
    ('{"password": "%s", "email": "a@example.org"}', "hunter2, too"),
    ("api_key: %s", "hunter2"),
]


@pytest.mark.parametrize(("message", "secret"), SECRETS)
def test_a_secret_in_a_message_is_redacted_and_the_line_stays_json(message: str, secret: str) -> None:
    logged = line(message, secret, after="still here")
    assert secret not in logged["message"] and "[redacted]" in logged["message"]
    assert logged["after"] == "still here"


@pytest.mark.parametrize(("message", "secret"), SECRETS)
def test_a_secret_is_redacted_in_an_exception_and_in_a_field_too(message: str, secret: str) -> None:
    try:
        raise ValueError(message % secret)
    except ValueError as error:
        logged = line("failed", error=error, reason=message % secret, nested={"list": [message % secret]})
    assert secret not in json.dumps(logged, ensure_ascii=False)
    assert "ValueError" in logged["error"]


def test_a_field_whose_name_says_secret_is_redacted_whatever_it_holds() -> None:
    logged = line("x", password="hunter2", headers={"Authorization": "hunter2", "Accept": "*/*"}, refresh_token=5)
    assert logged["password"] == logged["headers"]["Authorization"] == logged["refresh_token"] == "[redacted]"
    assert logged["headers"]["Accept"] == "*/*"


@pytest.mark.parametrize("text", ["a\nb\tc", 'quote " and \\', "half \ud800 a pair", "\x00\x1f", "Zürich 😀"])
def test_any_text_is_one_line_of_json(text: str) -> None:
    assert line("%s", text, field=text)["message"].encode("utf-8", "replace")


def test_what_is_no_secret_stays() -> None:
    for text in ("token_expired", "the token has expired", "password_changed", "https://example.org:8080/a@b"):
        assert redact(text) == text


def test_fields_keep_their_types() -> None:
    logged = line("x", status=200, share=0.5, is_new=True, nothing=None, names=("a", "b"))
    assert [logged[name] for name in ("status", "share", "is_new", "nothing")] == [200, 0.5, True, None]
    assert logged["names"] == ["a", "b"]
    assert logged["level"] == "INFO" and logged["component"] == "auth" and logged["time"].endswith("+00:00")
