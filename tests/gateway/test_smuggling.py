"""Requests two servers could read differently: refused, the connection closed, nothing sent on."""

import time

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream

H = "Host: gateway.example\r\n"
POST = f"POST /open/smuggle HTTP/1.1\r\n{H}"
HIDDEN = "GET /open/hidden HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = {
    "CL and TE": f"{POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "TE and CL": f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{HIDDEN}",
    "two lengths": f"{POST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "two equal lengths": f"{POST}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": f"{POST}Content-Length: 4, 4\r\n\r\nabcd",
    "a signed length": f"{POST}Content-Length: +4\r\n\r\nabcd",
    "a hexadecimal length": f"{POST}Content-Length: 0x4\r\n\r\nabcd",
    "a negative length": f"{POST}Content-Length: -4\r\n\r\nabcd",
    "an endless length": f"{POST}Content-Length: 99999999999999999999999\r\n\r\nabcd",
    "an empty length": f"{POST}Content-Length:\r\n\r\n",
    "space before the colon": f"{POST}Content-Length : 4\r\n\r\nabcd",
    "chunked twice": f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, chunked": f"{POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": f"{POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "xchunked": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "quoted chunked": f'{POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked with a vertical tab": f"{POST}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "folded transfer encoding": f"{POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded field": f"GET /open/x HTTP/1.1\r\n{H}X-A: 1\r\n 2\r\n\r\n",
    "chunked in HTTP/1.0": f"POST /open/x HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF after a field": f"GET /open/x HTTP/1.1\r\n{H}X-A: 1\nX-B: 2\r\n\r\n",
    "bare LF after the line": f"GET /open/x HTTP/1.1\n{H}\r\n",
    "bare LF at the end": f"GET /open/x HTTP/1.1\r\n{H}\n",
    "bare CR in a field": f"GET /open/x HTTP/1.1\r\n{H}X-A: 1\rX-B: 2\r\n\r\n",
    "NUL in a value": f"GET /open/x HTTP/1.1\r\n{H}X-A: 1\x002\r\n\r\n",
    "NUL in a name": f"GET /open/x HTTP/1.1\r\n{H}X-\x00A: 1\r\n\r\n",
    "no colon": f"GET /open/x HTTP/1.1\r\n{H}X-A\r\n\r\n",
    "no name": f"GET /open/x HTTP/1.1\r\n{H}: 1\r\n\r\n",
    "space in a name": f"GET /open/x HTTP/1.1\r\n{H}X A: 1\r\n\r\n",
    "space before the first field": f"GET /open/x HTTP/1.1\r\n X-A: 1\r\n{H}\r\n",
    "no host": "GET /open/x HTTP/1.1\r\n\r\n",
    "two hosts": f"GET /open/x HTTP/1.1\r\n{H}Host: other.example\r\n\r\n",
    "two equal hosts": f"GET /open/x HTTP/1.1\r\n{H}{H}\r\n",
    "a host with a path": "GET /open/x HTTP/1.1\r\nHost: a/../b\r\n\r\n",
    "a host with userinfo": "GET /open/x HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "an empty host": "GET /open/x HTTP/1.1\r\nHost:\r\n\r\n",
    "absolute form": f"GET http://other.example/open/x HTTP/1.1\r\n{H}\r\n",
    "CONNECT": f"CONNECT other.example:443 HTTP/1.1\r\n{H}\r\n",
    "asterisk": f"OPTIONS * HTTP/1.1\r\n{H}\r\n",
    "no version": f"GET /open/x\r\n{H}\r\n",
    "HTTP/0.9": f"GET /open/x HTTP/0.9\r\n{H}\r\n",
    "HTTP/2.0": f"GET /open/x HTTP/2.0\r\n{H}\r\n",
    "HTTP/1.2": f"GET /open/x HTTP/1.2\r\n{H}\r\n",
    "the HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tab": f"GET\t/open/x HTTP/1.1\r\n{H}\r\n",
    "an unknown method": f"GETS /open/x HTTP/1.1\r\n{H}\r\n",
    "a lower-case method": f"get /open/x HTTP/1.1\r\n{H}\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a bad chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\nzz\r\nabcd\r\n0\r\n\r\n",
    "a signed chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\n+4\r\nabcd\r\n0\r\n\r\n",
    "a hexadecimal prefix": f"{POST}Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n",
    "an endless chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\n{'f' * 20}\r\nabcd\r\n0\r\n\r\n",
    "a chunk that is too long": f"{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "bare LF after a chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\n4\nabcd\r\n0\r\n\r\n",
    "bare LF after a chunk": f"{POST}Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\n0\r\n\r\n",
    "space after a chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\n4 \r\nabcd\r\n0\r\n\r\n",
    "a length in the trailers": f"{POST}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a body behind an upgrade": f"{POST}Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nabcd",
    "a web socket": f"GET /open/x HTTP/1.1\r\n{H}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_ambiguous_request_is_refused_and_the_connection_closed(
    gateway: GatewayProcess, upstream: Upstream, case: str
) -> None:
    hidden = len(upstream.seen("/open/hidden"))
    with gateway.wire() as wire:
        answer = wire.ask(REFUSED[case])
        assert answer.status in (400, 501), answer
        assert answer.code in ("malformed_request", "transfer_coding", "upgrade_not_supported")
        assert answer.headers["Connection"] == "close"
        assert wire.is_closed()
    assert len(upstream.seen("/open/hidden")) == hidden


def test_a_bad_request_behind_a_good_one_does_not_spoil_it(gateway: GatewayProcess) -> None:
    with gateway.wire() as wire:
        wire.send(f"GET /open/first HTTP/1.1\r\n{H}\r\nGET /open/second HTTP/1.1\r\n{H}X-A: 1\n\r\n")
        assert wire.read().json["target"] == "/open/first"
        assert wire.read().code == "malformed_request"
        assert wire.is_closed()


@pytest.mark.parametrize(
    "fields",
    ["Transfer-Encoding: chunked\r\n", "Transfer-Encoding:  Chunked  \r\n", "transfer-encoding: CHUNKED\r\n"],
)
def test_chunks_are_framed_anew_and_trailers_and_extensions_dropped(
    gateway: GatewayProcess, upstream: Upstream, fields: str
) -> None:
    body = "4;a=b\r\nabcd\r\n3\r\nefg\r\n0\r\nX-User-Id: 1\r\nHost: evil.example\r\n\r\n"
    with gateway.wire() as wire:
        answer = wire.ask(f"{POST}{fields}\r\n{body}", "POST")
        assert answer.json["body_bytes"] == 7
        assert wire.ask(f"GET /open/next HTTP/1.1\r\n{H}\r\n").json["target"] == "/open/next"
    received = upstream.seen("/open/smuggle")[-1]
    assert received.body == b"abcdefg" and received.values("content-length") == []


def test_an_upgrade_without_a_body_is_served_as_if_it_had_not_been_asked_for(gateway: GatewayProcess) -> None:
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    with gateway.wire() as wire:
        wire.send(f"GET /open/first HTTP/1.1\r\n{H}{upgrade}\r\nGET /open/second HTTP/1.1\r\n{H}\r\n")
        first = wire.read().json
        assert first["target"] == "/open/first"
        assert not {name.lower() for name, _ in first["fields"]} & {"upgrade", "connection", "http2-settings"}
        assert wire.read().json["target"] == "/open/second"


def test_heads_that_are_too_large_are_refused_while_they_come(gateway: GatewayProcess) -> None:
    with gateway.wire() as wire:
        assert wire.ask(f"GET /open/{'x' * 2100} HTTP/1.1\r\n{H}\r\n").code == "uri_too_long"
    with gateway.wire() as wire:
        assert wire.ask(f"GET /open/x HTTP/1.1\r\n{H}X-Big: {'x' * 17000}\r\n\r\n").code == "headers_too_large"
    many = "".join(f"X-{number}: 1\r\n" for number in range(101))
    with gateway.wire() as wire:
        assert wire.ask(f"GET /open/x HTTP/1.1\r\n{H}{many}\r\n").status == 400
    with gateway.wire() as wire:
        wire.send(f"GET /open/x HTTP/1.1\r\n{H}X-Endless: ")
        for _ in range(20):
            wire.send("x" * 1000)
            time.sleep(0.002)
        assert wire.read().code == "headers_too_large"
