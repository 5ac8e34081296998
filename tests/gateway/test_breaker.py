"""The breaker's rules whatever comes, and what clients see of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from gateway.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, BreakerEntry
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Peers, Received, Stream, echo
from tests.support.waiting import eventually

RULES = st.builds(
    BreakerEntry,
    failures_percent=st.integers(1, 100),
    requests=st.integers(1, 50),
    window_s=st.floats(1, 60),
    open_s=st.floats(0.5, 30),
    max_open_s=st.floats(30, 300),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["good", "bad", "call", "won", "lost", "left"]), st.floats(0, 40)), max_size=80
)


@given(RULES, STEPS)
def test_one_probe_at_a_time_and_only_after_the_time_is_over(
    entry: BreakerEntry, steps: list[tuple[str, float]]
) -> None:
    breaker = Breaker(entry)
    now, opened_at, probes = 0.0, None, 0
    for step, passed_s in steps:
        now += passed_s
        before = breaker.state
        if step in ("good", "bad"):
            breaker.count(int(step == "good"), int(step == "bad"), now)
            assert breaker.state == before or (before == CLOSED and breaker.state == OPEN and step == "bad")
        elif step == "call":
            admitted = breaker.admits(now)
            if before == CLOSED:
                assert admitted
            elif admitted:
                assert before == OPEN and probes == 0
                assert opened_at is None or now - opened_at >= entry.open_s - 1e-6
                probes = 1
        elif probes:
            breaker.probe_over({"won": True, "lost": False, "left": None}[step], now)
            probes = 0
            assert breaker.state == (CLOSED if step == "won" else OPEN)
            if step == "left":
                opened_at = None
        assert probes == (breaker.state == HALF_OPEN)
        if breaker.state == OPEN and before != OPEN and step != "left":
            opened_at = now
            assert 1 <= breaker.wait_s(now) <= entry.max_open_s + 1


@given(RULES, st.lists(st.booleans(), max_size=100))
def test_it_opens_when_enough_calls_have_ended_and_too_many_of_them_badly(
    entry: BreakerEntry, ends: list[bool]
) -> None:
    breaker = Breaker(entry)
    for count, is_good in enumerate(ends, 1):
        breaker.count(int(is_good), int(not is_good), 1.0)
        bad = ends[:count].count(False)
        too_many = count >= entry.requests and bad * 100 >= entry.failures_percent * count
        assert (breaker.state == OPEN) == (too_many and not is_good)
        if breaker.state == OPEN:
            return


@given(RULES)
def test_each_probe_that_fails_makes_the_next_wait_longer_up_to_the_limit(entry: BreakerEntry) -> None:
    breaker = Breaker(entry)
    breaker.count(0, entry.requests, 0.0)
    now, waits = 0.0, []
    for _ in range(12):
        wait = 0.0
        while not breaker.admits(now + wait):
            wait += 0.25
        waits.append(wait)
        now += wait
        breaker.probe_over(False, now)
    assert waits == sorted(waits) and waits[-1] <= entry.max_open_s + 0.25


def test_what_is_long_past_does_not_count() -> None:
    breaker = Breaker(BreakerEntry(requests=4, window_s=10))
    breaker.count(0, 3, 0.0)
    breaker.count(0, 3, 30.0)
    assert breaker.state == CLOSED
    breaker.count(0, 1, 31.0)
    assert breaker.state == OPEN


def fails(_request: Received, stream: Stream) -> None:
    stream.answer(b"mine", status="503 Busy")


def test_a_failing_service_is_left_alone_and_then_tried_by_one(several: GatewayProcess, peers: Peers) -> None:
    path = peers.one.on("/fragile/x", fails)
    for _ in range(4):
        assert several.ask("GET", path).body == b"mine"
    for method in ("GET", "POST"):
        answer = several.ask(method, path)
        assert (answer.status, answer.code) == (503, "upstream_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1 and "fragile" in answer.json["detail"]
    assert len(peers.one.seen(path)) == 4
    eventually(lambda: several.metric("gateway_upstream_breakers", upstream="fragile", state="open") == 1, what="told")

    waits, go = threading.Event(), threading.Event()

    def slow(request: Received, stream: Stream) -> None:
        waits.set()
        go.wait(5)
        echo(request, stream)

    peers.one.on(path, slow)
    with ThreadPoolExecutor(1) as thread:
        asked = len(peers.one.seen(path))
        probe = thread.submit(
            lambda: eventually(lambda: (a := several.ask("GET", path)).status == 200 and a, what="the probe's answer")
        )
        assert waits.wait(5)
        assert [several.ask("GET", path).code for _ in range(5)] == ["upstream_unavailable"] * 5
        assert len(peers.one.seen(path)) == asked + 1
        go.set()
        probe.result()
    assert several.ask("GET", path).status == 200
    eventually(
        lambda: several.metric("gateway_upstream_breakers", upstream="fragile", state="closed") == 1, what="told"
    )


def test_a_client_that_leaves_its_probe_does_not_close_the_way_for_ever(several: GatewayProcess, peers: Peers) -> None:
    path = peers.one.on("/fragile/left", fails)
    for _ in range(4):
        several.ask("GET", path)
    arrived = threading.Event()

    def silent(_request: Received, stream: Stream) -> None:
        arrived.set()
        stream.is_gone()

    peers.one.on(path, silent)

    def ask_and_leave() -> bool:
        with several.wire() as wire:
            wire.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
            return arrived.wait(0.1)

    eventually(ask_and_leave, what="a probe that is left alone")
    peers.one.on(path, echo)
    eventually(lambda: several.ask("GET", path).status == 200, what="another probe")


def test_an_error_that_is_the_requests_own_opens_nothing(several: GatewayProcess, peers: Peers) -> None:
    path = peers.one.on("/patient/mistake", lambda _request, stream: stream.answer(b"", status="500 Mistake"))
    assert [several.ask("GET", path).status for _ in range(12)] == [500] * 12
    assert len(peers.one.seen(path)) == 12
