"""The gateway's own pages, and what operators see."""

import pytest

from tests.gateway.compression.document import DOCUMENT, UNPACK, ask, serves
from tests.gateway.process import GatewayProcess
from tests.gateway.test_docs import described, serve
from tests.gateway.upstream import Upstream
from tests.support.waiting import eventually


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
