"""A document worth compressing, how a service sends it and a client asks for it."""

import gzip
import json
from collections.abc import Callable

import brotli
from backports import zstd

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Script, Stream
from tests.gateway.wire import Answer

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
