"""What the table says of answers, as Envoy's compressor filters: one for each coding and each way of compressing."""

from collections.abc import Iterable

from gateway.codings import CODINGS
from gateway.compression import EVENT_STREAM, Compression
from gateway.envoy_limits import Json
from gateway.table import Route

_TYPE = "type.googleapis.com/envoy.extensions"
# Quality and window as close to ours as Envoy's own names allow.
_LIBRARIES: dict[bytes, tuple[str, Json]] = {
    b"zstd": ("zstd.compressor.v3.Zstd", {"compression_level": 3}),
    b"br": ("brotli.compressor.v3.Brotli", {"quality": 3, "window_bits": 18}),
    b"gzip": (
        "gzip.compressor.v3.Gzip",
        {"compression_level": "COMPRESSION_LEVEL_4", "window_bits": 15},
    ),
}
# Envoy's filter knows no patterns: what `*` stands for here.
_TEXTS = ("text/plain", "text/html", "text/css", "text/csv", "text/javascript", "text/markdown", "text/xml")
_JSONS = ("application/problem+json", "application/openapi+json", "application/ld+json", "application/vnd.api+json")
_XMLS = ("application/atom+xml", "application/rss+xml", "application/xhtml+xml", "application/problem+xml")
_PATTERNS = {"text/*": _TEXTS, "application/*+json": _JSONS, "application/*+xml": _XMLS}


def compressors(table: Iterable[Route]) -> list[Json]:
    """The filters, the coding liked best first; each is switched off where a route does not compress in its way."""
    return [_filter(coding, number, way) for number, way in enumerate(ways(table)) for coding in CODINGS]


def ways(table: Iterable[Route]) -> list[Compression]:
    return list(dict.fromkeys(route.compression for route in table if route.compression is not None))


def switched_off(route: Route, table_ways: Iterable[Compression]) -> Json:
    """What a route says of the filters that are not its own."""
    off = {"@type": f"{_TYPE}.filters.http.compressor.v3.CompressorPerRoute", "disabled": True}
    others = [number for number, way in enumerate(table_ways) if way != route.compression]
    return {_name(coding, number): off for number in others for coding in CODINGS}


def _name(coding: bytes, number: int) -> str:
    return f"compress.{number}.{coding.decode()}"


def _filter(coding: bytes, number: int, way: Compression) -> Json:
    library, settings = _LIBRARIES[coding]
    config = {"@type": f"{_TYPE}.compression.{library}", **settings}
    types = [each for one in way.types for each in _PATTERNS.get(one, (one,)) if each != EVENT_STREAM.decode()]
    answers = {
        "common_config": {"min_content_length": max(30, way.min_bytes), "content_type": sorted({*types})},
        "disable_on_etag_header": True,  # it would take the tag away, and If-Match could not be sent
    }
    return {
        "name": _name(coding, number),
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.compressor.v3.Compressor",
            "response_direction_config": answers,
            "choose_first": True,
            "compressor_library": {"name": coding.decode(), "typed_config": config},
        },
    }
