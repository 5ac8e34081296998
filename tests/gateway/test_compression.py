"""Answers are compressed for clients that can read them so, and only those that may be; nothing is held back."""

import gzip
import json
import random
import threading
import zlib
from collections.abc import Callable
from http.client import IncompleteRead

import brotli
import pytest
from backports import zstd

from gateway import routes
from gateway.compression import CompressEntry, is_listed
from tests.gateway.process import GatewayProcess
from tests.gateway.test_docs import described, serve
from tests.gateway.test_streaming import MOST_GROWTH, PIECE
from tests.gateway.upstream import Received, Script, Stream, Upstream
from tests.gateway.wire import Answer
from tests.support.people import Person
from tests.support.waiting import eventually

UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": zstd.decompress,
}
DOCUMENT = json.dumps({"items": [{"id": number, "name": f"item {number}"} for number in range(200)]}).encode()
H = "Host: gateway.example\r\n"
JSON = "Content-Type: application/json\r\n"


def serves(body: bytes = DOCUMENT, fields: str = JSON, status: str = "200 OK") -> Script:
    return lambda _request, stream: stream.answer(body, status=status, fields=fields)


def chunked(*pieces: bytes, fields: str = JSON) -> Script:
    def send(_request: Received, stream: Stream) -> None:
        head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n".encode()
        stream.send(head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")

    return send


def ask(gateway: GatewayProcess, path: str, accept: str = "gzip", method: str = "GET", **headers: str) -> Answer:
    return gateway.ask(method, path, headers={"Accept-Encoding": accept, **headers})


def is_plain(answer: Answer, body: bytes = DOCUMENT) -> bool:
    return answer.headers["Content-Encoding"] is None and answer.body == body


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


# Signed by the browser itself: another page could read secrets from lengths (BREACH).


@pytest.mark.parametrize("header", [{"Cookie": "session=1"}, {"Authorization": "Basic YTpi"}])
def test_a_request_that_a_browser_signs_by_itself_is_answered_uncompressed(
    gateway: GatewayProcess, upstream: Upstream, header: dict[str, str]
) -> None:
    path = upstream.on("/open/signed", serves())
    assert is_plain(ask(gateway, path, **header))
    assert ask(gateway, path).headers["Content-Encoding"] == "gzip"


def test_a_route_that_browsers_may_send_cookies_to_is_answered_uncompressed(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    assert is_plain(ask(gateway, upstream.on("/cookies/a", serves())))


def test_a_signed_in_users_answer_is_compressed(gateway: GatewayProcess, upstream: Upstream, alice: Person) -> None:
    path = upstream.on("/data/v1/mine", serves())
    for _ in range(3):
        assert gzip.decompress(ask(gateway, path, **alice.headers).body) == DOCUMENT


# ETags and conditions.


def tagged(etag: str) -> Script:
    """A service that compares tags as RFC 9110 says, and tells what it was asked."""

    def answer(request: Received, stream: Stream) -> None:
        fields = f"{JSON}ETag: {etag}\r\nX-Match: {request.value('if-match')}\r\nAccept-Ranges: bytes\r\n"
        if request.value("if-match") not in (None, etag):
            stream.answer(status="412 Precondition Failed", fields=fields)
        elif etag in (request.value("if-none-match") or ""):
            stream.send(f"HTTP/1.1 304 Not Modified\r\n{fields}\r\n".encode())
        else:
            stream.answer(DOCUMENT if request.method == "GET" else b"written", fields=fields)

    return answer


@pytest.mark.parametrize("coding", UNPACK)
def test_a_strong_tag_tells_codings_apart_and_still_answers_304_and_lets_clients_write(
    gateway: GatewayProcess, upstream: Upstream, coding: str
) -> None:
    path = upstream.on("/open/tagged", tagged('"5"'))
    first = ask(gateway, path, coding)
    assert first.headers["ETag"] == f'"5;{coding}"' and first.headers["Accept-Ranges"] is None
    assert ask(gateway, path, "identity").headers["ETag"] == '"5"'
    again = ask(gateway, path, coding, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.headers["ETag"], again.headers["Vary"]) == (304, f'"5;{coding}"', "accept-encoding")
    assert again.body == b"" and again.headers["Content-Encoding"] is None
    written = ask(gateway, path, coding, "PUT", **{"If-Match": first.headers["ETag"]})
    assert (written.status, written.headers["X-Match"]) == (200, '"5"')
    assert ask(gateway, path, coding, "PUT", **{"If-Match": f'"4;{coding}"'}).status == 412


def test_a_304_for_a_copy_that_is_not_compressed_keeps_its_tag(gateway: GatewayProcess, upstream: Upstream) -> None:
    path = upstream.on("/open/tagged", tagged('"5"'))
    again = ask(gateway, path, **{"If-None-Match": '"4", "5"'})
    assert (again.status, again.headers["ETag"], again.headers["Vary"]) == (304, '"5"', "accept-encoding")


def test_a_weak_tag_stays(gateway: GatewayProcess, upstream: Upstream) -> None:
    path = upstream.on("/open/weak", tagged('W/"5"'))
    first = ask(gateway, path)
    assert first.headers["ETag"] == 'W/"5"' and first.headers["Content-Encoding"] == "gzip"
    assert ask(gateway, path, **{"If-None-Match": 'W/"5"'}).status == 304


def test_a_part_of_a_compressed_answer_is_never_completed_with_bytes_of_the_plain_one(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    """`If-Range` goes on with the gateway's own tag: to the service it is another version, and all is sent."""
    seen: list[str | None] = []

    def answer(request: Received, stream: Stream) -> None:
        seen.append(request.value("if-range"))
        stream.answer(DOCUMENT, fields=f'{JSON}ETag: "5"\r\n')

    path = upstream.on("/open/ranged", answer)
    found = ask(gateway, path, Range="bytes=10-", **{"If-Range": '"5;gzip"'})
    assert seen == ['"5;gzip"'] and is_plain(found) and found.headers["ETag"] == '"5"'


def test_head_is_told_what_get_would_be(gateway: GatewayProcess, upstream: Upstream) -> None:
    def answer(request: Received, stream: Stream) -> None:
        stream.send(f'HTTP/1.1 200 OK\r\n{JSON}ETag: "5"\r\nContent-Length: {len(DOCUMENT)}\r\n\r\n'.encode())
        if request.method == "GET":
            stream.send(DOCUMENT)

    path = upstream.on("/open/head", answer)
    with gateway.wire() as wire:
        for _ in range(2):
            fields = f"{H}Accept-Encoding: gzip\r\n\r\n"
            head = wire.ask(f"HEAD {path} HTTP/1.1\r\n{fields}", "HEAD")
            get = wire.ask(f"GET {path} HTTP/1.1\r\n{fields}")
            names = ("Content-Encoding", "ETag", "Vary", "Content-Type")
            assert [head.headers[name] for name in names] == [get.headers[name] for name in names]
            assert head.headers["Content-Length"] is None and head.headers["Transfer-Encoding"] is None
            assert gzip.decompress(get.body) == DOCUMENT
        plain = wire.ask(f"HEAD {path} HTTP/1.1\r\n{H}\r\n", "HEAD")
        assert plain.headers["Content-Length"] == str(len(DOCUMENT)) and plain.headers["Content-Encoding"] is None


# Streams.


def decompressor(coding: str) -> Callable[[bytes], bytes]:
    if coding == "gzip":
        return zlib.decompressobj(31).decompress
    return brotli.Decompressor().process if coding == "br" else zstd.ZstdDecompressor().decompress


@pytest.mark.parametrize("coding", UNPACK)
def test_each_piece_can_be_read_before_the_next_is_sent(
    gateway: GatewayProcess, upstream: Upstream, coding: str
) -> None:
    heard = threading.Semaphore(0)
    pieces = [b'{"line": %d}\n' % number for number in range(5)]

    def tell(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            assert heard.acquire(timeout=10)
            stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        stream.send(b"0\r\n\r\n")

    unpack = decompressor(coding)
    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/open/lines', tell)} HTTP/1.1\r\n{H}Accept-Encoding: {coding}\r\n\r\n")
        response = wire.begin()
        assert response.headers["Content-Encoding"] == coding and response.headers["Transfer-Encoding"] == "chunked"
        for piece in pieces:
            heard.release()
            found = b""
            while len(found) < len(piece):
                found += unpack(response.read1(65536))
            assert found == piece
        rest = response.read()
        assert not rest or unpack(rest) == b""
        wire.send(f"GET /open/after HTTP/1.1\r\n{H}\r\n")
        assert wire.read().status == 200


def test_events_are_never_held_back_by_a_compressor(gateway: GatewayProcess, upstream: Upstream) -> None:
    path = upstream.on("/open/events", chunked(b"data: 1\n\n" * 1000, fields="Content-Type: text/event-stream\r\n"))
    assert is_plain(ask(gateway, path, "gzip, br, zstd"), b"data: 1\n\n" * 1000)


def test_http_1_0_gets_a_compressed_stream_that_ends_with_the_connection(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def slow(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        stream.send(b"6\r\n world\r\n0\r\n\r\n")

    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/open/old', slow)} HTTP/1.0\r\n{H}Accept-Encoding: gzip\r\n\r\n")
        response = wire.begin()
        body = response.read()
    packed = response.headers["Content-Encoding"] == "gzip"
    assert (gzip.decompress(body) if packed else body) == b"hello world"
    assert response.headers["Transfer-Encoding"] is None and response.headers["Connection"] == "close"


def test_an_answer_that_breaks_off_breaks_the_connection_and_does_not_look_whole(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def stop(_request: Received, stream: Stream) -> None:
        stream.send(f"HTTP/1.1 200 OK\r\n{JSON}Content-Length: 100000\r\n\r\n".encode() + DOCUMENT)
        go_on.wait(10)
        stream.close()

    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/open/broken', stop)} HTTP/1.1\r\n{H}Accept-Encoding: gzip\r\n\r\n")
        response = wire.begin()
        read = zlib.decompressobj(31)
        assert response.headers["Content-Encoding"] == "gzip" and read.decompress(response.read1(65536)) == DOCUMENT
        go_on.set()
        with pytest.raises((IncompleteRead, ConnectionError)):
            response.read()
        assert not read.eof


def test_a_big_compressed_download_has_flat_memory_and_waits_for_a_slow_reader(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    """Noise, so that it does not shrink to nothing, and the slow reader is felt."""
    total = 50_000_000
    noise = random.Random(1).randbytes(len(PIECE))
    sent = 0

    def serve(_request: Received, stream: Stream) -> None:
        nonlocal sent
        stream.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {total}\r\n\r\n".encode())
        while sent < total:
            piece = noise[: min(total - sent, len(noise))]
            stream.send(piece)
            sent += len(piece)

    before = gateway.resident_bytes()
    checksum = length = 0
    read = zstd.ZstdDecompressor()
    with gateway.wire(30) as wire:
        wire.send(f"GET {upstream.on('/open/flow', serve)} HTTP/1.1\r\n{H}Accept-Encoding: zstd\r\n\r\n")
        response = wire.begin()
        first = response.read(65536)
        assert sent < total
        assert gateway.resident_bytes() - before < MOST_GROWTH
        for data in (first, *iter(lambda: response.read(1 << 18), b"")):
            piece = read.decompress(data)
            checksum, length = zlib.adler32(piece, checksum), length + len(piece)
    expected, left = 0, total
    while left:
        piece = noise[: min(left, len(noise))]
        expected, left = zlib.adler32(piece, expected), left - len(piece)
    assert (checksum, length) == (expected, total)
    assert gateway.resident_bytes() - before < MOST_GROWTH


def test_more_streams_than_compressors_are_passed_on_as_they_are(gateway: GatewayProcess, upstream: Upstream) -> None:
    most, go_on = 256, threading.Event()

    def slow(_request: Received, stream: Stream) -> None:
        stream.send(f"HTTP/1.1 200 OK\r\n{JSON}Content-Length: {len(DOCUMENT)}\r\n\r\n".encode() + DOCUMENT[:2000])
        go_on.wait(20)
        stream.send(DOCUMENT[2000:])

    path = upstream.on("/open/many", slow)
    wires = [gateway.wire(30) for _ in range(most + 10)]
    try:
        for wire in wires:
            wire.send(f"GET {path} HTTP/1.1\r\n{H}Accept-Encoding: gzip\r\n\r\n")
        begun = [wire.begin() for wire in wires]
        codings = [response.headers["Content-Encoding"] for response in begun]
        assert codings.count("gzip") == most and codings.count(None) == 10
        go_on.set()
        bodies = [response.read() for response in begun]
    finally:
        go_on.set()
        for wire in wires:
            wire.close()
    assert all(
        (gzip.decompress(body) if coding else body) == DOCUMENT for body, coding in zip(bodies, codings, strict=True)
    )
    assert ask(gateway, upstream.on("/open/later", chunked(DOCUMENT))).headers["Content-Encoding"] == "gzip"


def test_a_requests_own_coding_passes_untouched(gateway: GatewayProcess, upstream: Upstream) -> None:
    received: list[bytes] = []

    def take(request: Received, stream: Stream) -> None:
        received.append(request.read_body())
        stream.answer(str(request.value("content-encoding")).encode())

    body = gzip.compress(DOCUMENT)
    answer = gateway.ask("POST", upstream.on("/open/upload", take), body=body, headers={"Content-Encoding": "gzip"})
    assert answer.body == b"gzip" and received == [body]


# The gateway's own pages.


@pytest.mark.parametrize("path", ["/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json", "/metrics"])
def test_the_gateways_own_pages_are_compressed(gateway: GatewayProcess, upstream: Upstream, path: str) -> None:
    serve(upstream, described(*(f"/data/v1/{number}" for number in range(9))))
    plain = gateway.ask("GET", path)
    assert "accept-encoding" in (plain.headers["Vary"] or "") and plain.headers["Content-Encoding"] is None
    for coding, unpack in UNPACK.items():
        answer = ask(gateway, path, coding)
        assert answer.headers["Content-Encoding"] == coding and len(answer.body) < len(plain.body) / 2
        if path != "/metrics":
            assert unpack(answer.body) == plain.body
        head = ask(gateway, path, coding, "HEAD")
        assert head.body == b"" and head.headers["Content-Encoding"] == coding
    assert ask(gateway, "/livez").headers["Content-Encoding"] is None


def test_what_was_compressed_is_counted(gateway: GatewayProcess, upstream: Upstream) -> None:
    before = [gateway.metric("gateway_compressed_bytes_total", coding="br", side=side) for side in ("in", "out")]
    answer = ask(gateway, upstream.on("/open/counted", serves()), "br")

    def grown() -> list[float]:
        after = [gateway.metric("gateway_compressed_bytes_total", coding="br", side=side) for side in ("in", "out")]
        return [now - then for now, then in zip(after, before, strict=True)]

    eventually(lambda: grown() == [len(DOCUMENT), len(answer.body)])


@pytest.mark.parametrize(
    ("value", "listed"),
    [
        (b"application/json", True),
        (b" Application/JSON ; charset=utf-8", True),
        (b"application/vnd.api+json", True),
        (b"image/svg+xml", True),
        (b"text/html", True),
        (b"text/event-stream", False),
        (b"text/event-stream; charset=utf-8", False),
        (b"image/jpeg", False),
        (b"application/jsonish", False),
        (b"text", False),
        (b"", False),
        (b"\xff/\xfe", False),
    ],
)
def test_the_types_that_are_compressed(value: bytes, listed: bool) -> None:
    assert is_listed(CompressEntry().compression().types, value) is listed
    assert is_listed(("image/jpeg",), value) is (value == b"image/jpeg")


@pytest.mark.parametrize(
    ("defaults", "upstream", "route", "from_bytes"),
    [
        ("", "", "", 1400),
        ("compress: false", "", "", None),
        ("", "compress: false", "", None),
        ("", "compress: false", "compress: true", 1400),
        ("compress: {min_bytes: 9}", "", "", 9),
        ("compress: {min_bytes: 9}", "compress: {min_bytes: 8}", "compress: {min_bytes: 7}", 7),
        ("", "", 'cache_control: "no-transform"', None),
        ("", "", 'cors: {origins: ["https://a.example"], credentials: true}', None),
        ("", "", 'compress: true, cors: {origins: ["https://a.example"], credentials: true}', 1400),
        ('cors: {origins: ["https://a.example"], credentials: true}', "compress: true", "", None),
    ],
)
def test_the_route_says_then_its_upstream_then_the_defaults(
    defaults: str, upstream: str, route: str, from_bytes: int | None
) -> None:
    text = f"""
defaults: {{{defaults}}}
upstreams: {{data: {{url: "http://a:1"{upstream and ", "}{upstream}}}}}
routes: [{{prefix: /a, upstream: data, access: public{route and ", "}{route}}}]
"""
    found = routes.parse(text).table().routes[0].compression
    assert (found.min_bytes if found else None) == from_bytes


@pytest.mark.parametrize("wrong", ['"yes"', "{min_bytes: -1}", "{types: [json]}", '{types: ["*/*"]}', "{level: 9}"])
def test_a_wrong_setting_is_a_mistake(wrong: str) -> None:
    route = f"{{prefix: /a, upstream: data, access: public, compress: {wrong}}}"
    with pytest.raises(routes.Mistakes, match="line 3: routes"):
        routes.parse(f'upstreams: {{data: {{url: "http://a:1"}}}}\nroutes:\n  - {route}')
