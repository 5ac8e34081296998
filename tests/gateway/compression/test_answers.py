"""Whole answers are compressed for clients that can read them so, and only those that may be."""

import gzip
import random

import pytest

from tests.gateway.compression.document import DOCUMENT, JSON, UNPACK, H, ask, chunked, is_plain, serves
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.people import Person


@pytest.mark.parametrize("coding", UNPACK)
def test_a_whole_answer_is_compressed_with_a_length(gateway: GatewayProcess, upstream: Upstream, coding: str) -> None:
    path = upstream.on("/open/whole", serves())
    answer = ask(gateway, path, coding)
    assert answer.headers["Content-Encoding"] == coding and answer.headers["Vary"] == "accept-encoding"
    assert int(answer.headers["Content-Length"]) == len(answer.body) < len(DOCUMENT) / 4
    assert answer.headers.get_all("Content-Length") == [str(len(answer.body))]
    assert UNPACK[coding](answer.body) == DOCUMENT and answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("accept", [None, "identity", "deflate", "gzip;q=0", "identity, gzip;q=0.1"])
def test_a_client_that_cannot_read_it_gets_it_as_it_is_and_caches_are_told(
    gateway: GatewayProcess, upstream: Upstream, accept: str | None
) -> None:
    path = upstream.on("/open/whole", serves())
    answer = gateway.ask("GET", path, headers={"Accept-Encoding": accept} if accept is not None else {})
    assert is_plain(answer) and answer.headers["Vary"] == "accept-encoding"
    assert answer.headers["Content-Length"] == str(len(DOCUMENT))


def test_of_two_fields_both_count_and_the_service_sees_what_the_client_said(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    path = upstream.on("/open/two", serves())
    with gateway.wire() as wire:
        answer = wire.ask(f"GET {path} HTTP/1.1\r\n{H}Accept-Encoding: deflate\r\nAccept-Encoding: br\r\n\r\n")
    assert answer.headers["Content-Encoding"] == "br"
    assert upstream.seen(path)[-1].values("accept-encoding") == ["deflate", "br"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ("Content-Type: image/png\r\n", "200 OK"),
        ("Content-Type: application/octet-stream\r\n", "200 OK"),
        ("Content-Type: text/event-stream\r\n", "200 OK"),
        ("", "200 OK"),
        (JSON + "Content-Encoding: br\r\n", "200 OK"),
        (JSON + "Cache-Control: max-age=1, No-Transform\r\n", "200 OK"),
        (JSON + "Content-Digest: sha-256=:x:\r\n", "200 OK"),
        (JSON + "Repr-Digest: sha-256=:x:\r\n", "200 OK"),
        (JSON + "Content-Range: bytes 0-9/10\r\n", "206 Partial Content"),
    ],
)
def test_what_may_not_or_need_not_be_compressed_is_not(
    gateway: GatewayProcess, upstream: Upstream, fields: str, status: str
) -> None:
    path = upstream.on("/open/left", serves(fields=fields, status=status))
    answer = ask(gateway, path)
    assert answer.body == DOCUMENT and answer.headers["Content-Encoding"] == ("br" if "br" in fields else None)
    assert answer.headers["Vary"] is None


@pytest.mark.parametrize("size", [0, 1, 1399])
def test_a_small_answer_is_left_alone_whether_its_length_is_told_or_not(
    gateway: GatewayProcess, upstream: Upstream, size: int
) -> None:
    body = b"x" * size
    told, untold = (
        upstream.on("/open/small", serves(body)),
        upstream.on("/open/small-chunked", chunked(*[body] * bool(body))),
    )
    for _ in range(3):  # its head is known from the second time on
        assert is_plain(ask(gateway, told), body)
        assert is_plain(ask(gateway, untold), body)


def test_an_answer_in_one_piece_without_a_length_is_compressed_and_gets_one(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    answer = ask(gateway, upstream.on("/open/one-piece", chunked(DOCUMENT[:100], DOCUMENT[100:])))
    assert gzip.decompress(answer.body) == DOCUMENT and answer.headers["Content-Length"] == str(len(answer.body))


def test_what_does_not_get_smaller_is_sent_as_it_is(gateway: GatewayProcess, upstream: Upstream) -> None:
    noise = random.Random(1).randbytes(3000)
    path = upstream.on("/open/noise", serves(noise))
    assert all(is_plain(ask(gateway, path, coding), noise) for coding in UNPACK)


def test_problems_are_compressed_too(gateway: GatewayProcess, upstream: Upstream) -> None:
    fields = "Content-Type: application/problem+json; charset=utf-8\r\n"
    answer = ask(gateway, upstream.on("/open/problem", serves(fields=fields, status="422 No")))
    assert answer.status == 422 and gzip.decompress(answer.body) == DOCUMENT


def test_the_table_says_what_is_compressed_where(gateway: GatewayProcess, upstream: Upstream) -> None:
    table = upstream.on("/tables/a", serves(b"1,2,3\n" * 10, "Content-Type: text/csv\r\n"))
    assert gzip.decompress(ask(gateway, table).body) == b"1,2,3\n" * 10
    assert is_plain(ask(gateway, upstream.on("/tables/b", serves())))
    off = ask(gateway, upstream.on("/plain/a", serves()))
    assert is_plain(off) and off.headers["Vary"] is None
    assert is_plain(ask(gateway, upstream.on("/untouched/a", serves())))


def test_a_known_head_of_a_route_without_compression_is_not_used_for_one_with_it(
    gateway: GatewayProcess, upstream: Upstream, alice: Person
) -> None:
    """Both routes lead to one service, and the heads are the same byte for byte."""
    plain, packed = upstream.on("/plain/same", serves()), upstream.on("/open/same", serves())
    for _ in range(4):
        assert is_plain(ask(gateway, plain))
        assert gzip.decompress(ask(gateway, packed).body) == DOCUMENT
        unread = ask(gateway, packed, "identity")
        assert is_plain(unread) and unread.headers["Vary"] == "accept-encoding"
