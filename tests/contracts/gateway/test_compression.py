"""Answers are compressed for clients that can read them so."""

import pytest

from tests.contracts.gateway.doors import Door
from tests.gateway.compression.document import DOCUMENT, JSON, UNPACK, ask, chunked, is_plain, serves, tagged
from tests.gateway.upstream import Upstream


@pytest.mark.parametrize("coding", UNPACK)
def test_a_large_answer_is_compressed(door: Door, upstream: Upstream, coding: str) -> None:
    path = upstream.on("/open/packed", serves())
    answer = ask(door, path, coding)
    assert answer.headers["Content-Encoding"] == coding and UNPACK[coding](answer.body) == DOCUMENT
    assert "accept-encoding" in answer.headers["Vary"].lower() and len(answer.body) < len(DOCUMENT) / 3
    framing = "a length" if answer.headers["Content-Length"] else "chunks"
    assert framing == door.says("the end of a compressed answer")
    plain = door.ask("GET", path)
    assert is_plain(plain) and "accept-encoding" in plain.headers["Vary"].lower()


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip, br, zstd", "zstd"),
        ("br;q=0.5, gzip", "gzip"),
        ("gzip;q=0, *", "zstd"),
        ("*;q=0", None),
    ],
)
def test_the_coding_the_client_likes_best(door: Door, upstream: Upstream, accept: str, coding: str | None) -> None:
    answer = ask(door, upstream.on("/open/packed", serves()), accept)
    assert answer.headers["Content-Encoding"] == coding


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/open/image", "Content-Type: image/png\r\n"),
        ("/open/encoded", JSON + "Content-Encoding: br\r\n"),
        ("/open/untouched", JSON + "Cache-Control: no-transform\r\n"),
        ("/plain/x", JSON),
        ("/tables/x", JSON),
    ],
)
def test_what_is_passed_on_as_it_is(door: Door, upstream: Upstream, path: str, fields: str) -> None:
    answer = ask(door, upstream.on(path, serves(fields=fields)))
    assert answer.body == DOCUMENT and answer.headers["Content-Encoding"] == ("br" if "br" in fields else None)


def test_small_answers(door: Door, upstream: Upstream) -> None:
    assert is_plain(ask(door, upstream.on("/open/little", serves(b"x" * 1000))), b"x" * 1000)
    table = ask(door, upstream.on("/tables/y", serves(b"1,2,3\n" * 20, "Content-Type: text/csv\r\n")))
    assert UNPACK["gzip"](table.body) == b"1,2,3\n" * 20
    untold = ask(door, upstream.on("/open/untold", chunked(b"x" * 1000)))
    assert str(untold.headers["Content-Encoding"]) == door.says("a small answer without a length")


def test_a_stream_of_events_is_left_alone(door: Door, upstream: Upstream) -> None:
    events = b"data: 1\n\n" * 1000
    path = upstream.on("/open/event-stream", chunked(events, fields="Content-Type: text/event-stream\r\n"))
    assert is_plain(ask(door, path), events)


def test_tags_and_conditions(door: Door, upstream: Upstream) -> None:
    path = upstream.on("/open/tagged-too", tagged('"5"'))
    found = ask(door, path)
    assert str(found.headers["Content-Encoding"]) == door.says("an answer with a strong ETag")
    assert ask(door, path, **{"If-None-Match": found.headers["ETag"]}).status == 304
    assert ask(door, path, "gzip", "PUT", **{"If-Match": found.headers["ETag"]}).status == 200
    assert ask(door, path, "identity", **{"If-None-Match": '"5"'}).status == 304


def test_a_request_with_a_cookie(door: Door, upstream: Upstream) -> None:
    answer = ask(door, upstream.on("/open/cookie", serves()), Cookie="a=1")
    assert str(answer.headers["Content-Encoding"]) == door.says("an answer to a request with a cookie")
