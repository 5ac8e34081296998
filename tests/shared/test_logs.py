"""A log line is one JSON object, whatever is logged, and holds no secret that slipped in."""

import io
import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.logs import BatchingHandler, JsonFormatter, redact
from tests.support.waiting import eventually

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


class Pipe(io.StringIO):
    """A stream that counts how often something was written to it."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def _record(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord("things", level, __file__, 1, message, None, None)


@pytest.fixture
def batching() -> tuple[BatchingHandler, Pipe]:
    pipe = Pipe()
    handler = BatchingHandler(pipe)
    handler.setFormatter(JsonFormatter("auth"))
    return handler, pipe


def test_many_lines_are_written_at_once_and_soon(batching: tuple[BatchingHandler, Pipe]) -> None:
    handler, pipe = batching
    for number in range(100):
        handler.handle(_record(logging.INFO, f"line {number}"))
    eventually(lambda: len(pipe.getvalue().splitlines()) == 100, what="all lines")
    assert [json.loads(text)["message"] for text in pipe.getvalue().splitlines()] == [f"line {n}" for n in range(100)]
    assert pipe.writes < 20
    handler.handle(_record(logging.INFO, "one more"))
    eventually(lambda: "one more" in pipe.getvalue(), what="a line after a pause")


def test_a_warning_is_written_at_once_after_what_waited(batching: tuple[BatchingHandler, Pipe]) -> None:
    handler, pipe = batching
    handler.handle(_record(logging.INFO, "before"))
    handler.handle(_record(logging.WARNING, "now"))
    assert [json.loads(text)["message"] for text in pipe.getvalue().splitlines()] == ["before", "now"]


def test_lines_of_many_threads_are_all_there_and_whole(batching: tuple[BatchingHandler, Pipe]) -> None:
    handler, pipe = batching
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: handler.handle(_record(logging.INFO, f"line {n}")), range(2000)))
    handler.flush()
    assert {json.loads(text)["message"] for text in pipe.getvalue().splitlines()} == {f"line {n}" for n in range(2000)}


def test_the_last_line_of_a_process_is_written_before_it_ends() -> None:
    program = "import logging; from shared import logs; logs.configure('auth'); logging.info('the end')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["message"] == "the end"


def test_fields_keep_their_types() -> None:
    logged = line("x", status=200, share=0.5, is_new=True, nothing=None, names=("a", "b"))
    assert [logged[name] for name in ("status", "share", "is_new", "nothing")] == [200, 0.5, True, None]
    assert logged["names"] == ["a", "b"]
    assert logged["level"] == "INFO" and logged["component"] == "auth" and logged["time"].endswith("+00:00")
