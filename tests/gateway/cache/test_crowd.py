"""A crowd is one call, and nobody waits who need not."""

import threading

from tests.gateway.cache.origin import FRESH, H, Origin, asked_at_once, get, status_of
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.waiting import eventually


def test_a_crowd_is_one_call(gateway: GatewayProcess, origin: Origin) -> None:
    with origin.hold():
        waiting = asked_at_once(gateway, origin.path, 20)
        eventually(lambda: gateway.metric("gateway_client_connections") >= 20, what="all have asked")
        assert origin.calls == 1
    answers = [future.result() for future in waiting]
    assert [answer.body for answer in answers] == [b"1"] * 20 and origin.calls == 1
    collapsed = [answer for answer in answers if "collapsed" in status_of(answer)]
    assert len(collapsed) + sum("stored" in status_of(answer) or "hit" in status_of(answer) for answer in answers) == 20
    assert len(collapsed) >= 1


def test_a_crowd_for_something_that_cannot_be_kept_goes_on_at_once_and_all_together(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    """All but the first meet at the service before any of them is answered: none waits for another."""
    others, first = threading.Barrier(9, timeout=10), threading.Event()
    numbers: list[int] = []

    def answer(_request: Received, stream: Stream) -> None:
        numbers.append(1)
        if len(numbers) == 1:
            first.wait(10)
        else:
            others.wait()
        stream.answer(b"mine", fields="Cache-Control: private\r\n")

    path = upstream.on("/cached/private-crowd", answer)
    waiting = asked_at_once(gateway, path, 10)
    eventually(lambda: gateway.metric("gateway_client_connections") >= 10, what="all have asked")
    first.set()
    assert [future.result().body for future in waiting] == [b"mine"] * 10
    assert len(numbers) == 10


def test_who_has_waited_long_enough_asks_himself(gateway: GatewayProcess, upstream: Upstream) -> None:
    stuck, numbers = threading.Event(), []

    def answer(_request: Received, stream: Stream) -> None:
        numbers.append(1)
        if len(numbers) == 1:
            stuck.wait(10)
        stream.answer(b"%d" % len(numbers), fields=FRESH)

    path = upstream.on("/cached-briefly/stuck", answer)
    first = asked_at_once(gateway, path, 1)[0]
    eventually(lambda: numbers)
    assert get(gateway, path).body == b"2"
    stuck.set()
    assert first.result().status == 200


def test_those_who_ask_with_other_fields_do_not_wait_for_each_other(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    both = threading.Barrier(2, timeout=10)

    def answer(request: Received, stream: Stream) -> None:
        both.wait()
        stream.answer(str(request.value("accept-language")).encode(), fields=FRESH + "Vary: Accept-Language\r\n")

    path = upstream.on("/cached/languages-at-once", answer)
    german, english = (asked_at_once(gateway, path, 1, Accept_Language=each)[0] for each in ("de", "en"))
    assert [german.result().body, english.result().body] == [b"de", b"en"]


def test_one_who_leaves_does_not_take_the_answer_from_the_others(gateway: GatewayProcess, origin: Origin) -> None:
    with origin.hold(), gateway.wire() as leaving:
        leaving.send(f"GET {origin.path} HTTP/1.1\r\n{H}\r\n")
        eventually(lambda: origin.calls == 1)
        waiting = asked_at_once(gateway, origin.path, 2)
        eventually(lambda: gateway.metric("gateway_client_connections") >= 3)
        leaving.close()
    assert [future.result().body for future in waiting] == [b"1", b"1"] and origin.calls == 1


def test_when_all_have_left_the_service_need_not_finish(gateway: GatewayProcess, upstream: Upstream) -> None:
    asked, gone = threading.Event(), threading.Event()

    def wait(_request: Received, stream: Stream) -> None:
        asked.set()
        if stream.is_gone():
            gone.set()

    with gateway.wire() as wire:
        wire.send(f"GET {upstream.on('/cached/left', wait)} HTTP/1.1\r\n{H}\r\n")
        assert asked.wait(5)
    assert gone.wait(5)
