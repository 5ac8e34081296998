"""Services with several targets: shares, health, and what is asked again."""

import pytest

from tests.contracts.gateway.doors import Door, outcome
from tests.gateway.upstream import Received, Script, Stream, Upstream
from tests.support.waiting import eventually


def say(body: bytes, status: str = "200 OK", fields: str = "") -> Script:
    def answer(request: Received, stream: Stream) -> None:
        request.read_body()
        stream.answer(body, status=status, fields=fields)

    return answer


def hang_up(request: Received, stream: Stream) -> None:
    request.read_body()
    stream.close()


BUSY = say(b"busy", "503 Busy")


def test_each_target_gets_its_share(door: Door, upstream: Upstream, second: Upstream) -> None:
    path = f"/weighted/{door.name}"
    for _ in range(40):
        assert door.ask("GET", path).status == 200
    assert len(upstream.seen(path)) in (29, 30, 31)
    assert len(upstream.seen(path)) + len(second.seen(path)) == 40


def test_each_target_is_asked_by_its_own_name(door: Door, upstream: Upstream, second: Upstream) -> None:
    path = f"/pair/{door.name}/host"
    for _ in range(4):
        door.ask("GET", path)
    for peer in (upstream, second):
        assert {request.value("host") for request in peer.seen(path)} == {f"127.0.0.1:{peer.port}"}


@pytest.mark.parametrize("failure", [BUSY, hang_up], ids=["503", "hangs up"])
@pytest.mark.parametrize(
    ("method", "headers"), [("GET", {}), ("PUT", {}), ("DELETE", {}), ("POST", {"Idempotency-Key": "k"})]
)
def test_what_may_be_done_twice_is_asked_of_the_other_target(
    door: Door, upstream: Upstream, second: Upstream, failure: Script, method: str, headers: dict[str, str]
) -> None:
    path = upstream.on(f"/pair/{door.name}/{method}/{failure is BUSY}", failure)
    for _ in range(4):
        assert door.ask(method, path, body=b"" if method == "GET" else b"abc", headers=headers).status == 200
    assert len(second.seen(path)) == 4


@pytest.mark.parametrize("failure", [BUSY, hang_up], ids=["503", "hangs up"])
def test_what_may_not_is_never_sent_twice(door: Door, upstream: Upstream, second: Upstream, failure: Script) -> None:
    path = f"/pair/{door.name}/once/{failure is BUSY}"
    upstream.on(path, failure)
    second.on(path, failure)
    for count in range(1, 5):
        assert door.ask("POST", path, body=b"pay 10").status in (502, 503)
        assert len(upstream.seen(path)) + len(second.seen(path)) == count


def test_a_target_that_is_gone_is_replaced_by_another(door: Door) -> None:
    assert [door.ask("GET", "/half/x").status for _ in range(6)] == [200] * 6


def test_a_post_that_finds_no_target(door: Door, upstream: Upstream) -> None:
    found = {outcome(door.ask("POST", "/half/x", body=b"abc")) for _ in range(4)}
    assert found - {"200"} == {door.says("a POST that finds no target")} - {"200"}


def test_it_is_asked_no_more_often_than_the_table_says(door: Door, upstream: Upstream, second: Upstream) -> None:
    path = f"/pair/{door.name}/always"
    upstream.on(path, BUSY)
    second.on(path, BUSY)
    answer = door.ask("GET", path)
    assert (answer.status, answer.body) == (503, b"busy")
    assert len(upstream.seen(path)) + len(second.seen(path)) == 3


def test_a_service_that_says_when_to_come_back(door: Door, upstream: Upstream, second: Upstream) -> None:
    path = f"/pair/{door.name}/later"
    upstream.on(path, say(b"", "503 Later", "Retry-After: 30\r\n"))
    second.on(path, say(b"", "503 Later", "Retry-After: 30\r\n"))
    answer = door.ask("GET", path)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
    asked = len(upstream.seen(path)) + len(second.seen(path))
    assert f"asked {asked} times" == door.says("a 503 with `Retry-After`, where a GET is tried three times")


def test_a_target_that_fails_again_and_again_is_left_out(door: Door, upstream: Upstream) -> None:
    path = upstream.on(f"/strict/{door.name}", say(b"", "500 Mistake"))
    statuses = [door.ask("GET", path).status for _ in range(20)]
    assert statuses.count(500) in (3, 4) and set(statuses[10:]) == {200}


def test_when_no_target_is_well_nobody_is_asked(door: Door, second: Upstream) -> None:
    path = f"/checked/{door.name}"
    second.on("/health", say(b""))
    eventually(lambda: door.ask("GET", path).status == 200, what="well")
    second.on("/health", BUSY)
    answer = eventually(lambda: (a := door.ask("GET", path)).status == 503 and a, what="not well")
    assert outcome(answer) == "503 upstream_unavailable" and int(answer.headers["Retry-After"]) >= 1
    asked = len(second.seen(path))
    assert door.ask("GET", path).status == 503
    assert len(second.seen(path)) == asked
    second.on("/health", say(b""))
    eventually(lambda: door.ask("GET", path).status == 200, what="well again")


def test_a_service_that_mostly_fails_is_left_alone(door: Door, upstream: Upstream) -> None:
    path = upstream.on(f"/fragile/{door.name}", BUSY)
    eventually(lambda: outcome(door.ask("GET", path)) == "503 upstream_unavailable", what="the breaker opens")
    asked = len(upstream.seen(path))
    answer = door.ask("POST", path, body=b"x")
    assert outcome(answer) == "503 upstream_unavailable" and int(answer.headers["Retry-After"]) >= 1
    assert len(upstream.seen(path)) == asked
