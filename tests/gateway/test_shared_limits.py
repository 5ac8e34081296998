"""Limits counted in Redis: one count for all workers and gateways, and what happens without it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.redis_server import RedisServer
from tests.gateway.test_limits import LIMITS, from_address, left, statuses
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

Start = Callable[..., GatewayProcess]


@pytest.fixture
def redis(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder).start()
    yield server
    server.stop()


@pytest.fixture
def start(issuer: Issuer, upstream: Upstream, folder: Path, redis: RedisServer) -> Iterator[Start]:
    started = []

    def start_one(**environment: str) -> GatewayProcess:
        shared = {"ROUTES_FILE": str(LIMITS), "TRUSTED_HOPS": "1", "REDIS_URL": redis.url, "LIMITS_TIMEOUT_S": "1"}
        started.append(GatewayProcess(issuer, upstream.url, folder, **{**shared, **environment}).start())
        return started[-1]

    yield start_one
    assert [process.stop() for process in started] == [0] * len(started)


def test_workers_and_gateways_share_one_count(start: Start) -> None:
    one, another = start(WEB_WORKERS="2"), start()
    client = from_address("192.0.2.1")
    passed = [gateway.ask("GET", "/door/x", headers=client) for gateway in (one, another, one, another)]
    assert [(answer.status, left(answer, "door")) for answer in passed] == [(200, 3), (200, 2), (200, 1), (200, 0)]
    assert {answer.headers["RateLimit-Policy"] for answer in passed} == {'"door";q=4;w=86400'}
    for gateway in (one, another):
        refused = [gateway.ask("GET", "/door/x", headers=client) for _ in range(10)]
        assert {answer.code for answer in refused} == {"rate_limited"}
        assert all(21_000 < int(answer.headers["Retry-After"]) <= 21_600 for answer in refused)
    assert statuses(one, "/door/x", 1, from_address("192.0.2.2")) == [200]


def test_all_rules_hold_as_they_do_without_redis(start: Start, alice: Person, upstream: Upstream) -> None:
    gateway = start()
    client = from_address("192.0.2.1")
    assert statuses(gateway, "/person/x", 6, {**alice.headers, **client}) == [200] * 5 + [429]
    assert statuses(gateway, "/app/x", 3, {**client, "X-Api-Key": "secret-of-an-app"}) == [200, 200, 429]
    assert statuses(gateway, "/watched/x", 4, client) == [200] * 4
    bad = {**client, "Authorization": "Bearer no.token.atall"}
    assert statuses(gateway, "/guarded/x", 9, bad) == [401] * 8 + [429]
    passed, asked = 0, 0
    while passed < 6 and asked < 500:
        passed, asked = passed + (gateway.ask("GET", "/quick/x", headers=client).status == 200), asked + 1
    assert passed == 6


def test_no_api_key_is_kept_and_no_bucket_stays_longer_than_it_takes_to_fill(start: Start, redis: RedisServer) -> None:
    gateway = start()
    client = from_address("192.0.2.1", **{"X-Api-Key": "secret-of-an-app"})
    assert statuses(gateway, "/app/x", 1, client) == [200]
    keys = redis.ask("KEYS *")
    assert b"gatehouse:limit:app:" in keys and b"secret" not in keys
    assert statuses(gateway, "/quick/x", 1, client) == [200]
    eventually(lambda: b":quick:" not in redis.ask("KEYS *"), what="a full bucket is gone")


def test_many_at_once_get_no_more_than_there_is(start: Start, upstream: Upstream) -> None:
    gateway = start(WEB_WORKERS="2", LIMITS_FACTOR="10")
    found: list[int] = []

    def ask() -> None:
        found.extend(statuses(gateway, "/all/crowd", 5, from_address("192.0.2.1")))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] * 30 + [429] * 50
    assert len(upstream.seen("/all/crowd")) == 30


def test_bodies_and_pipelined_requests_wait_for_the_count_and_come_through(start: Start) -> None:
    gateway = start()
    body = bytes(range(256)) * 2048
    assert gateway.ask("POST", "/free/x", body=body).json["body_bytes"] == len(body)
    assert gateway.ask("POST", "/door/x", body=body, headers=from_address("192.0.2.1")).json["body_bytes"] == len(body)
    head = "POST /door/{} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.2\r\nContent-Length: 3\r\n\r\nabc"
    with gateway.wire() as wire:
        wire.send("".join(head.format(number) for number in range(6)))
        answers = [wire.read("POST") for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 4 + [429] * 2
    assert [answer.json["target"] for answer in answers[:4]] == [f"/door/{number}" for number in range(4)]
    assert {answer.json["body_bytes"] for answer in answers[:4]} == {3}


def test_open_without_redis_everyone_passes_until_it_is_back(start: Start, redis: RedisServer) -> None:
    gateway = start()
    client = from_address("192.0.2.1")
    assert statuses(gateway, "/door/x", 5, client) == [200] * 4 + [429]
    redis.stop()
    assert statuses(gateway, "/door/x", 8, client) == [200] * 8
    counted = "gateway_uncounted_requests_total"
    eventually(lambda: gateway.metric(counted, decision="open") == 8, what="the metric counts")
    redis.start()
    eventually(lambda: gateway.ask("GET", "/door/x", headers=client).status == 429, what="limits are counted again")
    told = [line["message"] for line in gateway.lines() if line.get("logger") == "gateway.shared_limits"]
    assert len(told) == 2 and "not counted" in told[0] and "counted again" in told[1]


def test_closed_without_redis_nobody_passes_but_where_limits_only_watch(start: Start, redis: RedisServer) -> None:
    gateway = start(LIMITS_WITHOUT_REDIS="closed")
    client = from_address("192.0.2.1")
    assert statuses(gateway, "/door/x", 1, client) == [200]
    redis.stop()
    for _ in range(3):
        refused = gateway.ask("GET", "/door/x", headers=client)
        assert (refused.status, refused.code) == (503, "limits_unavailable") and refused.headers["Retry-After"]
    assert statuses(gateway, "/watched/x", 3, client) == [200] * 3
    assert statuses(gateway, "/free/x", 1, client) == [200]


def test_a_redis_that_hangs_holds_nobody_for_long(start: Start, redis: RedisServer) -> None:
    gateway = start(LIMITS_TIMEOUT_S="0.2")
    client = from_address("192.0.2.1")
    redis.freeze()
    try:
        with gateway.wire(timeout_s=5) as wire:
            for _ in range(6):
                head = "GET /door/x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
                assert wire.ask(head).status == 200
    finally:
        redis.thaw()
    eventually(lambda: gateway.ask("GET", "/door/x", headers=client).status == 429, what="it counts again")


def test_an_address_that_is_no_redis_is_told_at_the_start(issuer: Issuer, upstream: Upstream, folder: Path) -> None:
    gateway = GatewayProcess(issuer, upstream.url, folder, REDIS_URL="http://user:hunter2@127.0.0.1:1/")
    with pytest.raises(AssertionError, match="REDIS_URL: ") as told:
        gateway.start()
    assert "hunter2" not in str(told.value)
