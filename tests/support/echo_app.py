"""A WSGI application that says what it was asked, for tests of what carries requests to it."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Start = Callable[[str, list[tuple[str, str]]], Any]


def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _pieces()
    if environ["PATH_INFO"] == "/nothing":
        start_response("204 No Content", [])
        return []
    if environ["PATH_INFO"] == "/fails":
        raise RuntimeError("on purpose")
    if environ["PATH_INFO"] == "/splits":
        start_response("200 OK", [("Location", "/\r\nSet-Cookie: a=b"), ("Content-Length", "0")])
        return []
    asked = {name: value for name, value in environ.items() if isinstance(value, str) and name != "REMOTE_PORT"}
    body = json.dumps({**asked, "body": environ["wsgi.input"].read().decode("latin-1")}, sort_keys=True).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _pieces() -> Iterator[bytes]:
    yield b"one "
    yield b""
    yield b"two"
