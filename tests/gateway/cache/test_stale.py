"""What is no longer fresh: served while it is fetched anew, or when the service fails."""

import pytest

from tests.gateway.cache.origin import OLD, Origin, asked_at_once, get, status_of
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.waiting import eventually

LENIENT = "Cache-Control: max-age=60, stale-while-revalidate=100, stale-if-error=100\r\n"
STRICT = "Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=100, stale-if-error=100\r\n"


def test_stale_is_served_at_once_while_one_call_fetches_it_anew(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = LENIENT + OLD
    assert get(gateway, origin.path).body == b"1"
    with origin.hold():
        stale = [get(gateway, origin.path) for _ in range(5)]  # nobody waits for the service
        assert [answer.body for answer in stale] == [b"1"] * 5 and origin.calls == 2
        assert status_of(stale[0]).startswith("hit; ttl=-") and int(stale[0].headers["Age"]) >= 100
        origin.fields = LENIENT
    eventually(lambda: get(gateway, origin.path).body == b"2", what="the new one is there")
    assert origin.calls == 2


def test_what_must_be_confirmed_is_not_served_stale(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = STRICT + OLD
    assert [get(gateway, origin.path).body for _ in range(3)] == [b"1", b"2", b"3"]
    origin.status = "500 No"
    assert get(gateway, origin.path).status == 500


def test_a_refresh_that_fails_leaves_what_was_kept(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = LENIENT + OLD
    get(gateway, origin.path)
    origin.status = "500 No"
    assert [get(gateway, origin.path).body for _ in range(3)] == [b"1"] * 3
    eventually(lambda: origin.calls >= 2)
    assert get(gateway, origin.path).status == 200


ON_ERROR = "Cache-Control: max-age=60, stale-if-error=100\r\n"


def test_what_is_kept_is_not_forced_on_one_who_wants_it_confirmed(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = ON_ERROR
    get(gateway, origin.path)
    origin.status = "503 No"
    assert get(gateway, origin.path, Cache_Control="no-cache").status == 503
    assert get(gateway, origin.path).body == b"1"


def test_a_refresh_whose_answer_is_not_for_everybody_ends_what_was_kept(
    gateway: GatewayProcess, origin: Origin
) -> None:
    origin.fields = LENIENT + OLD
    get(gateway, origin.path)
    origin.fields = "Cache-Control: no-store\r\n"
    assert get(gateway, origin.path).body == b"1"
    eventually(lambda: "hit" not in status_of(get(gateway, origin.path)))


@pytest.mark.parametrize("how", ["500", "closed", "garbage"])
def test_stale_is_served_when_the_service_fails(
    gateway: GatewayProcess, upstream: Upstream, origin: Origin, how: str
) -> None:
    origin.fields = ON_ERROR + OLD
    get(gateway, origin.path)

    def fail(_request: Received, stream: Stream) -> None:
        if how == "500":
            stream.answer(b"broken", status="500 No")
        elif how == "closed":
            stream.close()
        else:
            stream.send(b"SMTP ready\r\n\r\n")

    upstream.on(origin.path, fail)
    answer = get(gateway, origin.path)
    assert (answer.status, answer.body) == (200, b"1") and "detail=error" in status_of(answer)


def test_without_anything_kept_a_failure_is_told_to_all_who_wait(gateway: GatewayProcess) -> None:
    assert gateway.ask("GET", "/cached-nobody/x").code == "upstream_unreachable"
    answers = [future.result() for future in asked_at_once(gateway, "/cached-nobody/x", 5)]
    assert [answer.code for answer in answers] == ["upstream_unreachable"] * 5
