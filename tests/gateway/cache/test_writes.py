"""What was kept ends with a write."""

import threading

from tests.gateway.cache.origin import FRESH, Origin, asked_at_once, get
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.waiting import eventually


def test_a_write_that_was_accepted_ends_what_was_kept_of_its_path(gateway: GatewayProcess, origin: Origin) -> None:
    for target in (origin.path, f"{origin.path}?page=2"):
        get(gateway, target)
    asked = origin.calls
    assert gateway.ask("POST", origin.path, body=b"x").status == 200
    assert [get(gateway, target).body for target in (origin.path, f"{origin.path}?page=2")] == [
        b"%d" % (asked + 2),
        b"%d" % (asked + 3),
    ]


def test_a_write_that_was_refused_ends_nothing(gateway: GatewayProcess, origin: Origin) -> None:
    get(gateway, origin.path)
    origin.status = "409 No"
    assert gateway.ask("PUT", origin.path, body=b"x").status == 409
    assert get(gateway, origin.path).body == b"1"


def test_a_write_ends_what_another_route_keeps_of_the_same_path_at_the_service(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    origin = Origin(upstream, "/cached/elsewhere")
    assert [get(gateway, "/cached-renamed").body for _ in range(2)] == [b"1", b"1"]
    gateway.ask("DELETE", "/cached/elsewhere")
    assert get(gateway, "/cached-renamed").body == b"3"
    assert origin.calls == 3


def test_an_answer_that_was_on_its_way_during_a_write_is_not_kept(gateway: GatewayProcess, upstream: Upstream) -> None:
    go_on, numbers = threading.Event(), []

    def answer(request: Received, stream: Stream) -> None:
        numbers.append(request.method)
        if len(numbers) == 1:
            go_on.wait(10)
        stream.answer(b"%d" % len(numbers) if request.method == "GET" else b"", fields=FRESH)

    path = upstream.on("/cached/raced", answer)
    early = asked_at_once(gateway, path, 1)[0]
    eventually(lambda: numbers)
    gateway.ask("POST", path, body=b"")
    after = get(gateway, path)
    go_on.set()
    assert early.result().status == 200 and after.body == b"3"
    assert get(gateway, path).body == b"3"
