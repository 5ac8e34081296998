"""An answer compressed on its way to the client: its head once it is certain, its body piece by piece."""

from typing import TYPE_CHECKING
from weakref import WeakSet

from gateway import answers
from gateway.codings import choose, tag_of, tag_sent
from gateway.compression import Compression, Stream, pack, stream, without_bytes_fields

if TYPE_CHECKING:
    from gateway.exchange import Exchange

VARY = b"vary: accept-encoding\r\n"
MOST_STREAMS = 256  # compressed at once by one worker: at 350 KB each, 90 MB at the very worst
_streams: "WeakSet[Encoder]" = WeakSet()


def apply(
    compression: Compression, exchange: "Exchange", fields: list[bytes], length: int | None, has_no_body: bool
) -> tuple[list[bytes], int | None]:
    """The fields and the length that the client is told; for a body to compress, the exchange gets an `encoder`.

    An answer that might have been compressed says so (`Vary`) even if this client gets it as it is.
    """
    request = exchange.request
    if exchange.status == 304:
        return _not_modified(request.if_none_match, fields), length
    if not compression.takes(exchange.status, fields):
        return fields, length
    fields = [*fields, VARY]
    coding = choose(request.accept_encoding)
    if coding is None or request.range is not None or is_signed_by_browser(exchange):
        return fields, length
    if has_no_body:  # to a HEAD: what a GET would be told, if that is known
        return (fields, length) if length is None else (_coded(fields, coding), None)
    exchange.encoder = Encoder(compression, coding, fields, length)
    return fields, length


def is_signed_by_browser(exchange: "Exchange") -> bool:
    """True if the browser has signed the request by itself.

    Only then can another page have it sent again and again with guesses in it, and read from the length of the answer
    whether a guess was right (BREACH). A token in `Authorization: Bearer` no other page can send.
    """
    request = exchange.request
    return request.cookie is not None or (request.authorization or b"bearer")[:6].lower() != b"bearer"


def _not_modified(condition: bytes | None, fields: list[bytes]) -> list[bytes]:
    """The ETag of a 304 is that of the copy it lets the client go on using; Vary as the 200 would have had it."""
    kept, etag = without_bytes_fields(fields)
    ours = etag if condition is None else tag_sent(condition, etag)
    return [*fields, VARY] if ours == etag else [*kept, b"etag: %b\r\n" % ours, VARY]


def _coded(fields: list[bytes], coding: bytes) -> list[bytes]:
    kept, etag = without_bytes_fields(fields)
    if etag:
        kept.append(b"etag: %b\r\n" % tag_of(etag, coding))
    return [*kept, b"content-encoding: %b\r\n" % coding]


class Encoder:
    """Between the upstream's pieces and the client's. The head waits for the first of them, but for nothing more."""

    def __init__(self, compression: Compression, coding: bytes, fields: list[bytes], length: int | None) -> None:
        self._compression = compression
        self.coding = coding
        self._fields = fields
        self._length = length
        self._stream: Stream | None = None
        self.pieces: list[bytes] = []

    def flush(self, exchange: "Exchange") -> None:
        """More will come: what is here is compressed so that the client can read all of it now."""
        if self._stream is None:
            if len(_streams) >= MOST_STREAMS:
                self._pass_on(exchange, self._length)
                return
            _streams.add(self)
            self._stream = stream(self.coding)
            exchange.inbox = answers.passed_down(exchange, _coded(self._fields, self.coding), None, False)
        if self.pieces:
            data, self.pieces = b"".join(self.pieces), []
            self._send(exchange, data, self._stream.add(data))

    def finish(self, exchange: "Exchange") -> None:
        """This was all of it."""
        data, self.pieces = b"".join(self.pieces), []
        if self._stream is not None:
            last = self._stream.add(data) if data else b""
            self._send(exchange, data, last + self._stream.end())
            return
        self.whole(exchange, data, pack(self.coding, data) if len(data) >= self._compression.min_bytes else data)

    def whole(self, exchange: "Exchange", data: bytes, packed: bytes) -> None:
        """The body, all at once, and what it is compressed: unless that is no smaller, it is what the client gets."""
        exchange.encoder = None
        if len(packed) >= len(data):
            self.pieces = [data]
            self._pass_on(exchange, len(data))
            return
        fields = [*_coded(self._fields, self.coding), b"content-length: %d\r\n" % len(packed)]
        exchange.inbox = answers.passed_down(exchange, fields, len(packed), False)
        self._send(exchange, data, packed)

    def _pass_on(self, exchange: "Exchange", length: int | None) -> None:
        """As it is, after all."""
        fields = self._fields
        if length is not None and self._length is None:
            fields = [*fields, b"content-length: %d\r\n" % length]
        exchange.encoder = None
        exchange.inbox = answers.passed_down(exchange, fields, length, False)
        for piece in self.pieces:
            if piece:
                exchange.response_body(piece)

    def _send(self, exchange: "Exchange", data: bytes, packed: bytes) -> None:
        exchange.gate.meters.compressed(self.coding, len(data), len(packed))
        if packed:
            exchange.add_body(packed)
