"""Tags and conditions tell codings apart, and clients may go on to write."""

import gzip

import pytest

from tests.gateway.compression.document import DOCUMENT, JSON, UNPACK, H, ask, is_plain, tagged
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream


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
