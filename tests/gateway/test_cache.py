"""The response cache: what is kept, for whom and how long; one call for a crowd; and what nobody can put into it."""

import gzip
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from gateway import routes
from gateway.keeper import MOST_FETCHES
from tests.gateway.process import ROUTES, GatewayProcess
from tests.gateway.test_compression import DOCUMENT, JSON, UNPACK
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Answer
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"
FRESH = "Cache-Control: max-age=60\r\n"
OLD = "Age: 100\r\n"  # as it arrives: older than what is fresh here


class Origin:
    """A service at one path: answers `1`, `2`, `3` … with the fields it is told; `hold` keeps the next answers back."""

    def __init__(self, upstream: Upstream, path: str, fields: str = FRESH) -> None:
        self.path = upstream.on(path, self._answer)
        self.fields = fields
        self.etag = ""
        self.status = "200 OK"
        self.bodies: Callable[[int], bytes] = lambda number: b"%d" % number
        self.asked: list[Received] = []
        self._go_on = threading.Event()
        self._go_on.set()

    def _answer(self, request: Received, stream: Stream) -> None:
        self.asked.append(request)
        number = len(self.asked)
        self._go_on.wait(10)
        etag = f'ETag: "{self.etag}"\r\n' if self.etag else ""
        if self.etag and self.etag in (request.value("if-none-match") or ""):
            stream.send(f"HTTP/1.1 304 Not Modified\r\n{etag}{self.fields}\r\n".encode())
        elif request.method == "HEAD":
            stream.send(f"HTTP/1.1 {self.status}\r\nContent-Length: 5\r\n{self.fields}\r\n".encode())
        else:
            stream.answer(self.bodies(number), status=self.status, fields=etag + self.fields)

    @contextmanager
    def hold(self) -> Iterator[None]:
        self._go_on.clear()
        try:
            yield
        finally:
            self._go_on.set()

    @property
    def calls(self) -> int:
        return len(self.asked)


@pytest.fixture
def origin(upstream: Upstream, request: pytest.FixtureRequest) -> Origin:
    """A service at a path of this test's own."""
    return Origin(upstream, f"/cached/{abs(hash(request.node.nodeid))}")


def status_of(answer: Answer) -> str:
    return str(answer.headers["Cache-Status"]).removeprefix("gatehouse; ")


def get(gateway: GatewayProcess, path: str, **headers: str) -> Answer:
    return gateway.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def asked_at_once(gateway: GatewayProcess, path: str, times: int, **headers: str) -> "list[object]":
    pool = ThreadPoolExecutor(times)
    return [pool.submit(get, gateway, path, **headers) for _ in range(times)]


# What is kept.


def test_the_second_who_asks_is_answered_from_memory(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields += "X-Own: 1\r\nContent-Type: text/plain\r\n"
    first, second, third = (get(gateway, origin.path) for _ in range(3))
    assert [answer.body for answer in (first, second, third)] == [b"1"] * 3 and origin.calls == 1
    assert status_of(first) == "fwd=uri-miss; stored" and status_of(second).startswith("hit; ttl=")
    assert second.headers["Age"] == "0" and second.headers["X-Own"] == "1" and second.headers["Date"]
    assert second.headers["Content-Length"] == "1" and second.headers["Content-Type"] == "text/plain"
    assert len({answer.headers["X-Request-Id"] for answer in (first, second, third)}) == 3


def test_head_is_answered_from_what_get_has_fetched_and_fetches_nothing_for_it(
    gateway: GatewayProcess, origin: Origin
) -> None:
    """A HEAD that is passed on leaves nothing behind that a GET would get."""
    origin.bodies = lambda _number: b"12345"
    with gateway.wire() as wire:
        head = wire.ask(f"HEAD {origin.path} HTTP/1.1\r\n{H}\r\n", "HEAD")
        assert (status_of(head), head.body) == ("fwd=bypass", b"")
        assert wire.ask(f"GET {origin.path} HTTP/1.1\r\n{H}\r\n").body == b"12345"
        again = wire.ask(f"HEAD {origin.path} HTTP/1.1\r\n{H}\r\n", "HEAD")
        assert again.headers["Content-Length"] == "5" and status_of(again).startswith("hit")
        assert wire.ask(f"GET {origin.path} HTTP/1.1\r\n{H}\r\n").body == b"12345"
    assert [request.method for request in origin.asked] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "Cache-Control: no-store\r\n",
        "Cache-Control: private, max-age=60\r\n",
        "Cache-Control: max-age=0\r\n",
        FRESH + "Set-Cookie: session=secret\r\n",
        FRESH + "Vary: *\r\n",
    ],
)
def test_what_is_not_for_everybody_is_never_kept(gateway: GatewayProcess, origin: Origin, fields: str) -> None:
    origin.fields = fields
    answers = [get(gateway, origin.path) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"1", b"2", b"3"]
    assert not any("hit" in status_of(answer) or "stored" in status_of(answer) for answer in answers)


@pytest.mark.parametrize("status", ["500 No", "503 No", "302 Found", "403 No", "201 Made"])
def test_other_statuses_are_never_kept(gateway: GatewayProcess, origin: Origin, status: str) -> None:
    origin.status = status
    assert [get(gateway, origin.path).body for _ in range(2)] == [b"1", b"2"]


def test_a_404_is_kept_for_as_long_as_it_says(gateway: GatewayProcess, origin: Origin) -> None:
    origin.status = "404 No"
    assert [(answer.status, answer.body) for answer in (get(gateway, origin.path), get(gateway, origin.path))] == [
        (404, b"1"),
        (404, b"1"),
    ]


def test_the_table_says_how_long_where_an_answer_does_not(gateway: GatewayProcess, upstream: Upstream) -> None:
    silent, refusing = (Origin(upstream, f"/cached-anyway/{name}", "") for name in ("silent", "refusing"))
    refusing.fields = "Cache-Control: no-store\r\n"
    assert [get(gateway, silent.path).body for _ in range(2)] == [b"1", b"1"]
    assert [get(gateway, refusing.path).body for _ in range(2)] == [b"1", b"2"]


def test_a_route_without_a_cache_has_none(gateway: GatewayProcess, upstream: Upstream) -> None:
    origin = Origin(upstream, "/open/uncached")
    answers = [get(gateway, origin.path) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"1", b"2"] and answers[0].headers["Cache-Status"] is None


def test_what_arrives_old_is_as_old_as_it_says(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = "Cache-Control: max-age=60\r\nAge: 50\r\n"
    get(gateway, origin.path)
    again = get(gateway, origin.path)
    assert again.headers.get_all("Age") == ["50"] and status_of(again) in ("hit; ttl=10", "hit; ttl=9")


def test_each_answer_is_compressed_once_from_what_was_fetched_plain(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields, origin.etag = FRESH + JSON, "5"
    origin.bodies = lambda _number: DOCUMENT
    for _ in range(2):
        assert get(gateway, origin.path).body == DOCUMENT
        for coding, unpack in UNPACK.items():
            answer = get(gateway, origin.path, Accept_Encoding=coding)
            assert unpack(answer.body) == DOCUMENT and answer.headers["ETag"] == f'"5;{coding}"'
            again = get(gateway, origin.path, Accept_Encoding=coding, If_None_Match=answer.headers["ETag"])
            assert (again.status, again.headers["ETag"], again.body) == (304, f'"5;{coding}"', b"")
    assert origin.calls == 1 and origin.asked[0].value("accept-encoding") is None


def test_browsers_of_every_origin_get_their_own_fields(gateway: GatewayProcess, origin: Origin) -> None:
    origins = ["https://app.example", "https://admin.example", "https://evil.example"]
    found = [get(gateway, origin.path, Origin=each).headers["Access-Control-Allow-Origin"] for each in origins]
    assert found == [*origins[:2], None] and origin.calls == 1


def test_hits_on_one_connection_are_in_order_and_http_1_0_gets_them_too(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    paths = [Origin(upstream, f"/cached/row-{number}").path for number in range(4)]
    for number, path in enumerate(paths):
        upstream.on(path, lambda _request, stream, body=b"row %d" % number: stream.answer(body, fields=FRESH))
        get(gateway, path)
    with gateway.wire() as wire:
        wire.send("".join(f"GET {path} HTTP/1.1\r\n{H}\r\n" for path in paths))
        assert [wire.read().body for _ in paths] == [b"row 0", b"row 1", b"row 2", b"row 3"]
        old = wire.ask(f"GET {paths[0]} HTTP/1.0\r\n{H}\r\n")
        assert old.body == b"row 0" and old.headers["Connection"] == "close" and "hit" in status_of(old)


# Conditions and wishes.


def test_a_clients_copy_is_confirmed_from_memory(gateway: GatewayProcess, origin: Origin) -> None:
    modified = formatdate(1_700_000_000, usegmt=True)
    origin.fields, origin.etag = FRESH + f"Last-Modified: {modified}\r\nContent-Type: text/plain\r\n", "5"
    get(gateway, origin.path)
    for condition in ({"If_None_Match": '"4", "5"'}, {"If_None_Match": 'W/"5"'}, {"If_Modified_Since": modified}):
        answer = get(gateway, origin.path, **condition)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", '"5"')
        assert answer.headers["Cache-Control"] == "max-age=60" and answer.headers["Content-Type"] is None
    assert get(gateway, origin.path, If_None_Match='"4"').body == b"1"
    assert get(gateway, origin.path, If_None_Match='"4"', If_Modified_Since=modified).body == b"1"
    assert origin.calls == 1


def test_what_is_no_longer_fresh_is_asked_for_with_its_tag_and_good_again_after_a_304(
    gateway: GatewayProcess, origin: Origin
) -> None:
    origin.etag, origin.fields = "5", FRESH + OLD + "X-Turn: 1\r\n"
    assert get(gateway, origin.path).body == b"1"
    origin.fields = FRESH + "X-Turn: 2\r\n"
    again = get(gateway, origin.path)
    assert (again.body, again.headers["X-Turn"]) == (b"1", "2") and status_of(again) == "fwd=stale; fwd-status=304"
    assert origin.asked[1].value("if-none-match") == '"5"'
    assert status_of(get(gateway, origin.path)).startswith("hit") and origin.calls == 2


def test_a_cookie_beside_a_304_is_given_to_nobody(gateway: GatewayProcess, origin: Origin) -> None:
    """It is one client's, and there is no telling whose: the answer was fetched for all."""
    origin.etag, origin.fields = "5", FRESH + OLD
    get(gateway, origin.path)
    origin.fields = FRESH + "Set-Cookie: session=secret\r\n"
    answers = [get(gateway, origin.path) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"1"] * 3
    assert [answer.headers["Set-Cookie"] for answer in answers] == [None] * 3


def test_a_new_version_takes_the_place_of_the_old(gateway: GatewayProcess, origin: Origin) -> None:
    origin.etag, origin.fields = "5", FRESH + OLD
    get(gateway, origin.path)
    origin.etag, origin.fields = "6", FRESH
    assert [get(gateway, origin.path).body for _ in range(2)] == [b"2", b"2"]
    assert get(gateway, origin.path).headers["ETag"] == '"6"'


def test_a_new_answer_that_is_not_for_everybody_ends_what_was_kept(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = FRESH + OLD + "ETag: x\r\n"
    get(gateway, origin.path)
    origin.fields = "Cache-Control: private\r\n"
    assert [get(gateway, origin.path).body for _ in range(2)] == [b"2", b"3"]


@pytest.mark.parametrize(
    "wish", [{"Cache_Control": "no-cache"}, {"Cache_Control": "max-age=0"}, {"Pragma": "no-cache"}]
)
def test_a_client_that_wants_it_anew_gets_it_anew_and_so_do_the_others(
    gateway: GatewayProcess, origin: Origin, wish: dict[str, str]
) -> None:
    get(gateway, origin.path)
    assert get(gateway, origin.path, **wish).body == b"2"
    assert get(gateway, origin.path).body == b"2"


def test_a_client_may_say_how_old_it_may_be(gateway: GatewayProcess, origin: Origin) -> None:
    origin.fields = FRESH + "Age: 40\r\n"
    get(gateway, origin.path)
    assert get(gateway, origin.path, Cache_Control="max-age=50, min-fresh=5").body == b"1"
    assert get(gateway, origin.path, Cache_Control="max-age=30").body == b"2"
    assert get(gateway, origin.path, Cache_Control="min-fresh=30").body == b"3"


def test_no_store_passes_by_and_only_if_cached_asks_nobody(gateway: GatewayProcess, origin: Origin) -> None:
    unknown = get(gateway, origin.path, Cache_Control="only-if-cached")
    assert (unknown.status, unknown.code, origin.calls) == (504, "not_cached", 0)
    assert get(gateway, origin.path, Cache_Control="no-store").body == b"1"
    assert get(gateway, origin.path).body == b"2"
    assert get(gateway, origin.path, Cache_Control="no-store").body == b"3"
    assert get(gateway, origin.path, Cache_Control="only-if-cached").body == b"2"


# Stale.

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


# A crowd.


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


# Writes.


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


# Attacks.

UNKEYED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Scheme": "nothttps",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Host": "evil.example",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-HTTP-Method-Override": "POST",
    "Forwarded": "host=evil.example",
    "User-Agent": "evil",
    "Referer": "https://evil.example",
    "Origin": "https://evil.example",
    "X-Request-Id": "evil-evil-evil",
    "X-Whatever": "evil",
    "Accept-Encoding": "evil",
    "If-None-Match": '"evil"',
    "If-Modified-Since": "evil",
    "Max-Forwards": "0",
    "Via": "evil",
    "TE": "evil",
}


def test_nothing_a_client_says_reaches_an_answer_for_others_unless_it_is_part_of_its_key(
    gateway: GatewayProcess, origin: Origin
) -> None:
    get(gateway, origin.path, **{name.replace("-", "_"): value for name, value in UNKEYED.items()})
    fields = {name.lower(): value for name, value in origin.asked[0].fields}
    assert fields.keys() == {"host", "x-request-id", "traceparent", "x-forwarded-proto", "x-forwarded-host"}
    assert "evil" not in str(fields) and fields["x-forwarded-host"] == "gateway.example"


def test_whoever_asks_by_another_host_gets_and_leaves_another_answer(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    def reflect(request: Received, stream: Stream) -> None:
        stream.answer(str(request.value("x-forwarded-host")).encode(), fields=FRESH)

    path = upstream.on("/cached/reflects-host", reflect)
    assert get(gateway, path, Host="evil.example").body == b"evil.example"
    assert get(gateway, path).body == b"gateway.example"


def test_behind_proxies_host_and_scheme_are_theirs_and_tell_answers_apart(
    issuer: Issuer, upstream: Upstream, tmp_path: Path
) -> None:
    def reflect(request: Received, stream: Stream) -> None:
        says = [request.value(f"x-forwarded-{name}") for name in ("proto", "host", "for")]
        stream.answer(repr(says).encode(), fields=FRESH)

    path = upstream.on("/cached/behind", reflect)
    process = GatewayProcess(issuer, upstream.url, tmp_path, TRUSTED_HOPS="1").start()
    try:
        for proto, host in (("https", "a.example"), ("http", "a.example"), ("https", "b.example")):
            said = {"X_Forwarded_Proto": proto, "X_Forwarded_Host": host}
            for address in ("192.0.2.1", "192.0.2.2"):
                assert get(process, path, **said, X_Forwarded_For=address).body == repr([proto, host, None]).encode()
        assert len(upstream.seen(path)) == 3
    finally:
        assert process.stop() == 0


def test_what_vary_names_tells_answers_apart_and_other_fields_never_pass(
    gateway: GatewayProcess, origin: Origin
) -> None:
    origin.fields += "Vary: Accept-Language, User-Agent\r\n"
    assert [get(gateway, origin.path, Accept_Language=each).body for each in ("de", "en", "de", "en")] == [
        b"1",
        b"2",
        b"1",
        b"2",
    ]
    assert get(gateway, origin.path, Accept_Language="de", User_Agent="evil").body == b"1"
    assert all(request.value("user-agent") is None for request in origin.asked)


def test_the_table_names_the_fields_that_pass(gateway: GatewayProcess, upstream: Upstream) -> None:
    origin = Origin(upstream, "/cached-briefly/editions", FRESH + "Vary: X-Edition\r\n")
    assert [get(gateway, origin.path, X_Edition=each).body for each in ("a", "b", "a")] == [b"1", b"2", b"1"]
    get(gateway, origin.path, Accept_Language="de")
    assert [request.value("accept-language") for request in origin.asked] == [None] * 3


@pytest.mark.parametrize(
    ("one", "other"),
    [("?a=1&b=2", "?b=2&a=1"), ("?a=1", "?a=1&"), ("?", ""), ("?a=1;b=2", "?a=1&b=2"), ("?A=1", "?a=1"), ("/", "")],
)
def test_no_two_addresses_are_taken_for_one(gateway: GatewayProcess, upstream: Upstream, one: str, other: str) -> None:
    """A service may read what looks alike to us as two different things, and the other way round."""

    def reflect(request: Received, stream: Stream) -> None:
        stream.answer(request.target.encode(), fields=FRESH)

    path = f"/cached/query-{abs(hash(one))}"
    for suffix in ("", "/"):
        upstream.on(path + suffix, reflect)
    answers = [get(gateway, path + suffix) for suffix in (one, other, one, other)]
    assert [answer.body.decode() for answer in answers] == [path + suffix for suffix in (one, other, one, other)]
    assert "hit" in status_of(answers[2]) and "hit" in status_of(answers[3])


def test_a_signed_in_users_answer_is_never_kept_nor_answered_from_what_is(
    gateway: GatewayProcess, upstream: Upstream, alice: Person, mallory: Person
) -> None:
    def whose(request: Received, stream: Stream) -> None:
        stream.answer(str(request.value("authorization")).encode(), fields="Cache-Control: public, max-age=60\r\n")

    path = upstream.on("/cached/whose", whose)
    answers = [get(gateway, path, **person.headers) for person in (alice, mallory)]
    assert [status_of(answer) for answer in answers] == ["fwd=bypass"] * 2
    assert answers[0].body != answers[1].body and b"Bearer" in answers[0].body
    assert [get(gateway, path).body for _ in range(2)] == [b"None", b"None"]
    assert get(gateway, path, **alice.headers).body.startswith(b"Bearer")


@pytest.mark.parametrize(
    "header", [{"Cookie": "a=1"}, {"Range": "bytes=0-0"}, {"If_Match": '"5"'}, {"If_Range": '"5"'}]
)
def test_what_one_client_asks_for_itself_passes_by_the_cache(
    gateway: GatewayProcess, origin: Origin, header: dict[str, str]
) -> None:
    get(gateway, origin.path)
    answer = get(gateway, origin.path, **header)
    assert answer.body == b"2" and status_of(answer) == "fwd=bypass"
    assert origin.asked[1].value(next(iter(header)).replace("_", "-")) is not None
    assert get(gateway, origin.path).body == b"1"


@pytest.mark.parametrize(
    "path",
    [
        "/data/v1/me/x.css",
        "/data/v1/me%2fx.css",
        "/data/v1/me;x.css",
        "/data/v1/me%3bx.css",
        "/data/v1/me%0ax.css",
        "/data/v1/me%00x.css",
        "/data/v1/me%23x.css",
        "/data/v1/me%3fx.css",
        "/cached/../data/v1/me",
        "/cached/%2e%2e/data/v1/me",
        "/cached/..%2fdata/v1/me",
        "/cached%2f..%2fdata/v1/me",
        "/cached/..;/data/v1/me",
        "/cached//../data/v1/me",
        "/data/v1/me?/cached/x.css",
    ],
)
def test_no_spelling_makes_somebodys_page_a_public_file(gateway: GatewayProcess, alice: Person, path: str) -> None:
    """Web cache deception: alice is led to the link, mallory asks for it afterwards."""
    own = get(gateway, path, **alice.headers)
    assert own.headers["Cache-Status"] in (None, "gatehouse; fwd=bypass")
    stolen = get(gateway, path)
    assert stolen.status in (400, 401, 404) or b"Bearer" not in stolen.body
    assert "hit" not in str(stolen.headers["Cache-Status"])


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_is_too_large_is_passed_on_as_it_comes_and_not_kept(
    gateway: GatewayProcess, upstream: Upstream, framing: str
) -> None:
    piece, go_on, calls = b"x" * 150_000, threading.Event(), []

    def flow(_request: Received, stream: Stream) -> None:
        calls.append(1)
        if framing == "length":
            stream.send(f"HTTP/1.1 200 OK\r\nContent-Length: {2 * len(piece)}\r\n{FRESH}\r\n".encode() + piece)
        else:
            stream.send(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{FRESH}\r\n".encode())
            stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        go_on.wait(10)
        stream.send(piece if framing == "length" else b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))

    path = upstream.on(f"/cached/large-{framing}", flow)
    with gateway.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        response = wire.begin()
        assert len(response.read(150_000)) == 150_000  # before the service has sent the rest
        go_on.set()
        assert len(response.read()) == 150_000
    assert len(get(gateway, path).body) == 300_000 and len(calls) == 2


def test_an_answer_that_breaks_off_is_not_kept_and_not_taken_for_a_whole_one(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    calls: list[int] = []

    def stop(_request: Received, stream: Stream) -> None:
        calls.append(1)
        if len(calls) < 3:
            stream.send(f"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n{FRESH}\r\nhalf".encode())
            stream.close()
        else:
            stream.answer(b"whole", fields=FRESH)

    path = upstream.on("/cached/half", stop)
    assert get(gateway, path).code == "upstream_protocol_error"
    assert get(gateway, path).status == 502
    assert get(gateway, path).body == b"whole"


def test_no_crowd_of_addresses_takes_more_memory_than_the_table_allows(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    path = upstream.on("/cached/many", lambda _request, stream: stream.answer(b"x" * 20_000, fields=FRESH))
    with gateway.wire() as wire:
        for number in range(60):
            assert wire.ask(f"GET {path}?{number} HTTP/1.1\r\n{H}\r\n").status == 200
        assert "hit" in status_of(wire.ask(f"GET {path}?59 HTTP/1.1\r\n{H}\r\n"))
        assert "hit" not in status_of(wire.ask(f"GET {path}?0 HTTP/1.1\r\n{H}\r\n"))
    eventually(lambda: 300_000 < gateway.metric("gateway_cache_bytes") <= 400_000)
    assert gateway.metric("gateway_cache_evicted_total") > 0 and 1 < gateway.metric("gateway_cache_entries") < 60


def hand_over_metrics(gateway: GatewayProcess) -> None:
    """Wait until all that was counted so far can be scraped: numbers are handed over all at once."""

    def handed_over() -> float:
        return gateway.metric("gateway_cache_requests_total", route="/cached-nobody/*")

    before = handed_over()
    gateway.ask("GET", "/cached-nobody/x")
    eventually(lambda: handed_over() > before)


def test_more_answers_on_their_way_than_memory_is_set_aside_for_are_passed_on(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def answer(_request: Received, stream: Stream) -> None:
        go_on.wait(20)
        stream.answer(b"x", fields=FRESH)

    path = upstream.on("/cached/slow-many", answer)
    wires = [gateway.wire(30) for _ in range(MOST_FETCHES + 5)]
    try:
        for number, wire in enumerate(wires):
            wire.send(f"GET {path}?{number} HTTP/1.1\r\n{H}\r\n")
        eventually(lambda: len(upstream.seen(path)) == len(wires))
        go_on.set()
        said = [status_of(wire.read()) for wire in wires]
    finally:
        go_on.set()
        for wire in wires:
            wire.close()
    assert said.count("fwd=uri-miss; stored") == MOST_FETCHES and said.count("fwd=bypass; detail=busy") == 5


def test_what_came_of_requests_is_counted(gateway: GatewayProcess, origin: Origin) -> None:
    def counted() -> list[float]:
        outcomes = ("hit", "miss", "bypass")
        return [gateway.metric("gateway_cache_requests_total", route="/cached/*", outcome=each) for each in outcomes]

    hand_over_metrics(gateway)
    before = counted()
    for header in ({}, {}, {}, {"Cookie": "a=1"}):
        get(gateway, origin.path, **header)
    eventually(lambda: [now - then for now, then in zip(counted(), before, strict=True)] == [2, 1, 1])


def test_the_access_log_says_what_came_of_it(gateway: GatewayProcess, origin: Origin) -> None:
    said = {get(gateway, origin.path).headers["X-Request-Id"]: outcome for outcome in ("miss", "hit")}

    def logged() -> dict[str, str]:
        lines = [line for line in gateway.lines() if line.get("request_id") in said]
        return {line["request_id"]: line["cache"] for line in lines}

    eventually(lambda: logged() == said)


def test_a_call_for_an_answer_to_keep_is_counted_with_the_services_time(
    gateway: GatewayProcess, origin: Origin
) -> None:
    def calls() -> float:
        return gateway.metric("gateway_upstream_duration_seconds_count", upstream="data")

    hand_over_metrics(gateway)
    before = calls()
    for _ in range(3):
        get(gateway, origin.path)
    eventually(lambda: calls() == before + 1)


# The table.


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


# Everything at once.


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_a_crowd_asks_everybody_gets_an_answer_to_his_own_question_and_none_from_before_a_write(
    gateway: GatewayProcess, upstream: Upstream, alice: Person, mallory: Person, seed: int
) -> None:
    """Reads by path, query, language, host, coding and person, and writes, all at random and side by side."""
    versions: dict[str, int] = {}
    paths = [f"/cached/storm-{seed}-{number}" for number in range(3)]
    lives = {"": "max-age=60", "a=1": "max-age=60, stale-if-error=60", "a=12": "max-age=0", "a=123&b": "private"}

    def answer(request: Received, stream: Stream) -> None:
        path, _, query = request.target.partition("?")
        if request.method == "POST":
            request.read_body()
            versions[path] = versions.get(path, 0) + 1
            stream.answer(str(versions[path]).encode())
            return
        says = [request.target, *(str(request.value(name)) for name in ("x-forwarded-host", "accept-language"))]
        body = "|".join([*says, str(request.value("authorization")), str(versions.get(path, 0)), "x" * 2_000])
        fields = f"Cache-Control: {lives[query]}\r\nVary: Accept-Language\r\nContent-Type: text/plain\r\n"
        stream.answer(body.encode(), fields=fields)

    for path in paths:
        upstream.on(path, answer)

    def act(number: int) -> None:
        chance = random.Random(1_000 * seed + number)
        with gateway.wire() as wire:
            for _ in range(40):
                path = chance.choice(paths)
                if chance.random() < 0.1:
                    made = int(wire.ask(f"POST {path} HTTP/1.1\r\n{H}Content-Length: 1\r\n\r\nx").body)
                    accepted[path] = max(made, accepted.get(path, 0))
                    continue
                target = path + chance.choice([f"?{query}" if query else "" for query in lives])
                host, language = chance.choice(["a.example", "b.example"]), chance.choice(["de", "en"])
                token = chance.choice([None, None, None, alice, mallory])
                coding = chance.choice(["identity", "gzip"])
                fields = f"Host: {host}\r\nAccept-Language: {language}\r\nAccept-Encoding: {coding}\r\n"
                signed = token.headers["Authorization"] if token else "None"
                fields += f"Authorization: {signed}\r\n" if token else ""
                least = accepted.get(path, 0)
                wire.send(f"GET {target} HTTP/1.1\r\n{fields}\r\n")
                found = wire.read()
                text = gzip.decompress(found.body) if found.headers["Content-Encoding"] else found.body
                *says, version, _ = text.decode().split("|")
                assert says == [target, host, language, signed]
                assert "hit" not in status_of(found) or token is None
                assert int(version) >= least
                seen.append(status_of(found))

    accepted: dict[str, int] = {}  # what writers have been told
    seen: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(act, number) for number in range(8)]:
            done.result()
    assert len(seen) > 200 and {"hit", "fwd"} <= {how[:3] for how in seen}
    for path in paths:  # the storm is over: nothing from before the last write is left
        target = f"{path}?a=1"
        text = get(gateway, target, Host="a.example", Accept_Language="de").body.decode()
        assert text.split("|")[4] == str(versions.get(path, 0))
