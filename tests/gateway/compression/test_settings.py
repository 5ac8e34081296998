"""What the table says of compression."""

import pytest

from gateway import routes
from gateway.compression import CompressEntry, is_listed


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
