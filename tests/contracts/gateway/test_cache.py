"""What a door may do for a service whose answers are for everybody, and must not do for others."""

from tests.contracts.gateway.doors import Door
from tests.gateway.cache.origin import FRESH
from tests.gateway.upstream import Upstream


def test_an_answer_for_everybody(door: Door, upstream: Upstream) -> None:
    path = upstream.on(f"/cached/{door.name}", lambda _request, stream: stream.answer(b"news", fields=FRESH))
    assert [door.ask("GET", path).body for _ in range(2)] == [b"news"] * 2
    calls = {1: "one call", 2: "two calls"}[len(upstream.seen(path))]
    assert calls == door.says("an answer of a route with `cache`, asked for twice")


def test_an_answer_for_one_client(door: Door, upstream: Upstream) -> None:
    private = "Cache-Control: private\r\n"
    path = upstream.on(f"/cached/{door.name}-own", lambda _request, stream: stream.answer(b"x", fields=private))
    assert [door.ask("GET", path).status for _ in range(2)] == [200] * 2
    assert len(upstream.seen(path)) == 2
