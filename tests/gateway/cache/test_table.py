"""What the table says of a cache."""

import gzip
from pathlib import Path

import pytest

from gateway import routes
from tests.gateway.cache.origin import FRESH, Origin, get
from tests.gateway.compression.document import DOCUMENT, JSON
from tests.gateway.process import ROUTES, GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.waiting import eventually


@pytest.mark.parametrize(
    ("route", "wrong"),
    [
        ("access: user, cache: {}", "cache needs access: public"),
        ("access: optional, cache: {}", "cache needs access: public"),
        ("access: public, methods: [POST], cache: {}", "cache needs access: public, and GET"),
        ("access: public, cache: {max_age_s: -1}", "greater than or equal to 0"),
        ("access: public, cache: {max_age: 1}", "Extra inputs"),
        ('access: public, cache: {request_fields: ["a b"]}', "may tell answers for everybody apart"),
    ],
)
def test_a_cache_where_answers_are_not_for_everybody_is_a_mistake(route: str, wrong: str) -> None:
    text = f'upstreams: {{data: {{url: "http://a:1"}}}}\nroutes:\n  - {{prefix: /a, upstream: data, {route}}}'
    with pytest.raises(routes.Mistakes, match=wrong):
        routes.parse(text)


@pytest.mark.parametrize("field", ["Authorization", "Cookie", "Range", "X-Forwarded-Host", "X_Edition"])
def test_a_field_that_must_not_tell_answers_apart_is_a_mistake(field: str) -> None:
    route = f"{{prefix: /a, upstream: data, access: public, cache: {{request_fields: [{field}]}}}}"
    with pytest.raises(routes.Mistakes, match="line 3: routes"):
        routes.parse(f'upstreams: {{data: {{url: "http://a:1"}}}}\nroutes:\n  - {route}')


def test_a_new_table_keeps_what_it_caches_as_before_and_nothing_else(
    issuer: Issuer, upstream: Upstream, tmp_path: Path
) -> None:
    file = tmp_path / "routes.yaml"
    right = ROUTES.read_text()
    file.write_text(right)
    process = GatewayProcess(issuer, upstream.url, tmp_path, ROUTES_FILE=str(file)).start()
    kept, changed = Origin(upstream, "/cached/reloaded"), Origin(upstream, "/cached-anyway/reloaded")
    try:
        for origin in (kept, changed):
            assert [get(process, origin.path).body for _ in range(2)] == [b"1", b"1"]
        file.write_text(right.replace("max_age_s: 60, stale_s: 60", "max_age_s: 61, stale_s: 60"))
        eventually(lambda: process.metric("gateway_table_reloads_total", outcome="taken") == 1)
        assert (get(process, kept.path).body, get(process, changed.path).body) == (b"1", b"2")
        file.write_text(right.replace("max_bytes: 400000", "max_bytes: 0"))
        eventually(lambda: process.metric("gateway_table_reloads_total", outcome="taken") == 2)
        assert [get(process, kept.path).body for _ in range(2)] == [b"2", b"3"]
    finally:
        assert process.stop() == 0


def test_a_compressed_hit_is_a_whole_answer(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields, origin.bodies = FRESH + JSON, lambda _number: DOCUMENT
    first, second = (get(gateway, origin.path, Accept_Encoding="gzip") for _ in range(2))
    assert gzip.decompress(first.body) == gzip.decompress(second.body) == DOCUMENT
    assert second.headers["Content-Length"] == str(len(second.body)) and second.headers["Vary"] == "accept-encoding"
