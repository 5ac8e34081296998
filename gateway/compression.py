"""Which answers are compressed, and the compressors. Rules and arithmetic; `encoder.py` applies them to an exchange.

The levels were chosen by measuring (docs/benchmarks.md): an answer that is there in one piece is compressed well, one
that comes bit by bit fast, so that no piece of it, at most 256 KiB, holds up the event loop for more than 2 ms.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Protocol

import brotli
from backports import zstd
from pydantic import BaseModel, ConfigDict, Field

from gateway.codings import BR, ZSTD

MIN_BYTES = 1_400  # what fits into one packet beside its head arrives no sooner for being smaller
TYPES = (
    "text/*",
    "application/json",
    "application/*+json",
    "application/javascript",
    "application/manifest+json",
    "application/wasm",
    "application/x-ndjson",
    "application/xml",
    "application/*+xml",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
)
EVENT_STREAM = b"text/event-stream"  # never: events are small, and each must be there when it is sent
MOST_WHOLE_BYTES = 131_072  # more than this is compressed as a stream is, however it comes
WINDOW_BITS = 18  # 256 KiB of an answer's past: a stream's memory is about 350 KB whatever the coding
_PARAMETERS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.window_log: WINDOW_BITS - 1,
}
_MEDIA_TYPE = r"^[a-z0-9.-]+/(\*|[a-z0-9.-]+|(\*|[a-z0-9.-]+)\+[a-z0-9]+)$"
_NOT_WHOLE = frozenset({204, 205, 206, 304})
_DIGESTS = frozenset({b"content-digest", b"content-md5", b"digest", b"repr-digest", b"signature"})
_OF_THE_BYTES = frozenset({b"accept-ranges", b"content-length", b"etag"})


@dataclass(frozen=True, slots=True)
class Compression:
    """What of a route's answers is compressed. `types` are media types; `*` stands for the part before a `+` or all."""

    min_bytes: int = MIN_BYTES
    types: tuple[str, ...] = TYPES

    def takes(self, status: int, fields: Iterable[bytes]) -> bool:
        """True for an answer that may be compressed, by its status and the fields of its head."""
        if status in _NOT_WHOLE:
            return False
        media_type = b""
        for field in fields:
            name, _, value = field.partition(b":")
            name = name.lower()
            if name == b"content-type":
                media_type = value
            elif name == b"content-encoding":
                if value.strip().lower() != b"identity":
                    return False
            elif name == b"cache-control":
                if b"no-transform" in value.lower():
                    return False
            elif name == b"content-range" or name in _DIGESTS:
                return False
        return is_listed(self.types, media_type)


class CompressEntry(BaseModel):
    """`compress` in `routes.yaml`: from how many bytes on, and which media types, in place of the usual ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_bytes: int = Field(MIN_BYTES, ge=0, le=2**30)
    types: list[Annotated[str, Field(pattern=_MEDIA_TYPE)]] = list(TYPES)

    def compression(self) -> Compression:
        return Compression(self.min_bytes, tuple(self.types))


@lru_cache(512)
def is_listed(types: tuple[str, ...], value: bytes) -> bool:
    """True if a Content-Type is of one of these types."""
    media_type = value.partition(b";")[0].strip().lower()
    if media_type == EVENT_STREAM:
        return False
    main, _, sub = media_type.decode("latin-1").partition("/")
    forms = {f"{main}/{sub}", f"{main}/*"}
    if "+" in sub:
        forms.add(f"{main}/*+{sub.rpartition('+')[2]}")
    return bool(sub) and not forms.isdisjoint(types)


def without_bytes_fields(fields: list[bytes]) -> tuple[list[bytes], bytes]:
    """The fields that hold for every coding of an answer, and its ETag; ranges are not served of what is compressed."""
    kept, etag = [], b""
    for field in fields:
        name, _, value = field.partition(b":")
        name = name.lower()
        if name not in _OF_THE_BYTES:
            kept.append(field)
        elif name == b"etag":
            etag = value.strip()
    return kept, etag


def pack(coding: bytes, body: bytes) -> bytes:
    """A whole body, compressed."""
    if len(body) > MOST_WHOLE_BYTES:
        fast = stream(coding)
        return fast.add(body) + fast.end()
    if coding == ZSTD:
        return zstd.compress(body, 3)
    if coding == BR:
        return bytes(brotli.compress(body, quality=3, lgwin=WINDOW_BITS))
    return zlib.compress(body, 4, wbits=31)


def pack_small(coding: bytes, body: bytes) -> bytes:
    """A whole body, as small as it gets in some tenths of a second for a megabyte: for what is sent again and again."""
    if coding == ZSTD:
        return zstd.compress(body, 15)
    if coding == BR:
        return bytes(brotli.compress(body, quality=9))
    return zlib.compress(body, 9, wbits=31)


class Stream(Protocol):
    """A body that comes in pieces. What `add` returns can be read by the client at once, all of it."""

    def add(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


def stream(coding: bytes) -> Stream:
    if coding == ZSTD:
        return _Zstd()
    return _Brotli() if coding == BR else _Gzip()


class _Gzip:
    def __init__(self) -> None:
        self._compressor = zlib.compressobj(1, zlib.DEFLATED, 31)

    def add(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._compressor.flush()


class _Brotli:
    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=1, lgwin=WINDOW_BITS)

    def add(self, data: bytes) -> bytes:
        return bytes(self._compressor.process(data) + self._compressor.flush())

    def end(self) -> bytes:
        return bytes(self._compressor.finish())


class _Zstd:
    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(options=_PARAMETERS)

    def add(self, data: bytes) -> bytes:
        return self._compressor.compress(data, zstd.ZstdCompressor.FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._compressor.flush()
