"""Heads that come again, byte for byte, are not read again: and yet nothing about the answers changes."""

import time
from pathlib import Path

import pytest

from gateway.config import GatewaySettings
from gateway.heads import MOST_HEADS, KnownAnswer, KnownAnswers, KnownFields
from shared.ids import new_id
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Wire
from tests.support.issuer import Issuer
from tests.support.people import Person

TIMES = 6  # learned when seen twice; from then on known


@pytest.fixture
def token(alice: Person) -> str:
    return alice.token()


def fields(token: str, extra: str = "") -> str:
    return f"Host: gateway.example\r\nX-App: 1\r\nAuthorization: Bearer {token}\r\n{extra}\r\n"


def sent_on(wire: Wire, request: str) -> dict[str, object]:
    answer = wire.ask(request)
    assert answer.status == 200, answer
    return dict(answer.json, names=dict(answer.json["fields"]))


def test_a_repeated_head_gives_the_same_request_with_ids_of_its_own(gateway: GatewayProcess, token: str) -> None:
    request = f"GET /data/v1/again?x=1 HTTP/1.1\r\n{fields(token)}"
    with gateway.wire() as wire:
        came = [sent_on(wire, request) for _ in range(TIMES)]
    own = ("x-request-id", "traceparent")
    assert len({(seen["names"]["x-request-id"], seen["names"]["traceparent"]) for seen in came}) == TIMES
    first, *rest = [(s["method"], s["target"], [f for f in s["fields"] if f[0] not in own]) for s in came]
    assert all(seen == first for seen in rest)


def test_another_first_line_above_known_fields_is_read(gateway: GatewayProcess, token: str) -> None:
    with gateway.wire() as wire:
        for number in range(TIMES):
            for method in ("GET", "POST", "DELETE", "GET"):
                seen = sent_on(wire, f"{method} /data/v1/item/{number} HTTP/1.1\r\n{fields(token)}")
                assert (seen["method"], seen["target"], seen["body_bytes"]) == (method, f"/data/v1/item/{number}", 0)
        assert wire.ask(f"GET /none HTTP/1.1\r\n{fields(token)}").status == 404
        assert wire.ask(f"GET /data/v1/x/../y HTTP/1.1\r\n{fields(token)}").status == 400


@pytest.mark.parametrize(
    "line",
    [
        "GET /data/v1/again HTTP/1.1\n",
        "GET /data/v1/again HTTP/1.2\r\n",
        "GET /data/v1/again\r\n",
        "GETS /x HTTP/1.1\r\n",
    ],
)
def test_a_bad_first_line_above_known_fields_is_refused(gateway: GatewayProcess, token: str, line: str) -> None:
    for _ in range(TIMES):
        with gateway.wire() as wire:
            sent_on(wire, f"GET /data/v1/again HTTP/1.1\r\n{fields(token)}")
            answer = wire.ask(line + fields(token))
            assert (answer.status, answer.code) == (400, "malformed_request")
            assert wire.is_closed()


def test_http_1_0_above_known_fields_ends_the_connection(gateway: GatewayProcess, token: str) -> None:
    with gateway.wire() as wire:
        for _ in range(TIMES):
            sent_on(wire, f"GET /data/v1/again HTTP/1.1\r\n{fields(token)}")
        assert wire.ask(f"GET /data/v1/again HTTP/1.0\r\n{fields(token)}").headers["Connection"] == "close"
        assert wire.is_closed()


def test_a_known_head_counts_only_where_a_request_begins(gateway: GatewayProcess, token: str) -> None:
    request = f"GET /data/v1/again HTTP/1.1\r\n{fields(token)}"
    with gateway.wire() as wire:
        for _ in range(TIMES):
            sent_on(wire, request)
        for cut in (1, 2, 5, 20, 29, 60, len(request) - 1):
            wire.send(request[:cut])
            assert sent_on(wire, request[cut:])["target"] == "/data/v1/again"
        body = f"POST /data/v1/again HTTP/1.1\r\n{fields(token, f'Content-Length: {len(request)}' + chr(13) + chr(10))}"
        wire.send(body)
        assert sent_on(wire, request)["body_bytes"] == len(request)
        wire.send("GE")
        assert wire.ask(request).code == "malformed_request"


def test_known_requests_in_a_row_are_answered_in_order(gateway: GatewayProcess, token: str) -> None:
    requests = [f"GET /data/v1/row/{number} HTTP/1.1\r\n{fields(token)}" for number in range(3)]
    with gateway.wire() as wire:
        for _ in range(TIMES):
            for request in requests:
                sent_on(wire, request)
        for request in requests:
            wire.send(request)
        wire.send("".join(requests))
        targets = [wire.read().json["target"] for _ in range(6)]
    assert targets == [f"/data/v1/row/{number}" for number in range(3)] * 2


def test_fields_that_hop_or_claim_an_identity_are_dropped_every_time(gateway: GatewayProcess, token: str) -> None:
    extra = "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nX-User-Id: root\r\nX_User_Id: root\r\nX-Kept: yes\r\n"
    with gateway.wire() as wire:
        for _ in range(TIMES):
            names = sent_on(wire, f"GET /data/v1/again HTTP/1.1\r\n{fields(token, extra)}")["names"]
            assert isinstance(names, dict) and names["X-Kept"] == "yes"
            assert not {"x-secret", "x-user-id", "x_user_id", "connection"} & {name.lower() for name in names}


def test_a_known_head_with_a_token_that_has_expired_is_refused(gateway: GatewayProcess, issuer: Issuer) -> None:
    token = issuer.token(new_id(), exp=int(time.time()) - 3)  # still good, for the leeway
    request = f"GET /data/v1/expiring HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    with gateway.wire() as wire:
        codes = []
        while not codes or codes[-1] == 200:
            codes.append(wire.ask(request).status)
        assert codes[-1] == 401 and len(codes) > TIMES


def test_a_repeated_answer_passes_unchanged_and_another_body_is_seen(
    gateway: GatewayProcess, upstream: Upstream, token: str
) -> None:
    bodies = iter([b"one", b"two", b"six", b"ten", b"red", b"fin"])

    def answer(_request: Received, stream: Stream) -> None:
        stream.answer(next(bodies), fields="ETag: same\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: x\r\n")

    path = upstream.on("/data/v1/same-head", answer)
    with gateway.wire() as wire:
        answers = [wire.ask(f"GET {path} HTTP/1.1\r\n{fields(token)}") for _ in range(6)]
    assert [answer.body for answer in answers] == [b"one", b"two", b"six", b"ten", b"red", b"fin"]
    for found in answers:
        assert found.headers["ETag"] == "same" and found.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert found.headers["Server"] is None and found.headers["Content-Length"] == "3"
    assert len({found.headers["X-Request-Id"] for found in answers}) == 6


def test_a_known_answer_that_comes_in_pieces_or_to_a_head_request_is_read(
    gateway: GatewayProcess, upstream: Upstream, token: str
) -> None:
    def answer(request: Received, stream: Stream) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
        if request.method == "HEAD":
            stream.send(head)
        elif request.value("x-slow"):
            stream.send(head + b"12")
            stream.send(b"34")
        else:
            stream.send(head + b"1234")

    path = upstream.on("/data/v1/pieces", answer)
    with gateway.wire() as wire:
        for _ in range(3):
            assert wire.ask(f"GET {path} HTTP/1.1\r\n{fields(token)}").body == b"1234"
            assert wire.ask(f"GET {path} HTTP/1.1\r\n{fields(token, 'X-Slow: 1' + chr(13) + chr(10))}").body == b"1234"
            head = wire.ask(f"HEAD {path} HTTP/1.1\r\n{fields(token)}", "HEAD")
            assert head.headers["Content-Length"] == "4" and head.body == b""


def test_bytes_behind_a_known_answer_are_nobodys(gateway: GatewayProcess, upstream: Upstream, token: str) -> None:
    connections = []

    def answer(_request: Received, stream: Stream) -> None:
        connections.append(stream)
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234HTT")

    path = upstream.on("/data/v1/behind", answer)
    with gateway.wire() as wire:
        for _ in range(4):
            assert wire.ask(f"GET {path} HTTP/1.1\r\n{fields(token)}").body == b"1234"
    assert len({id(stream) for stream in connections}) == 4


@pytest.fixture
def settings(gateway: GatewayProcess) -> GatewaySettings:
    return GatewaySettings.model_validate({name.lower(): value for name, value in gateway.environment.items()})


def test_only_whole_ordinary_fields_are_learned(settings: GatewaySettings) -> None:
    known = KnownFields(settings)
    host = b"Host: a\r\nAuthorization: Bearer x\r\n"
    refused = [
        host + b"\r\nGET / HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"\r\n",
        host + b"Content-Length: 1\r\n\r\n",
        host + b"Transfer-Encoding: chunked\r\n\r\n",
        host + b"Connection: close\r\n\r\n",
        host + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        host + host + b"\r\n",
        host + b"\r\n\r\n",
        host,
        b"\r\n",
        host + b"X-Long: %b\r\n\r\n" % (b"a" * 3000),
    ]
    for each in [*refused, host + b"\r\n"] * 3:
        known.see(each)
    assert [known.get(each) for each in refused] == [None] * len(refused)
    learned = known.get(host + b"\r\n")
    assert learned is not None and learned["authorization"] == b"Bearer x" and learned["host"] == b"a"


def test_what_is_remembered_is_bounded_and_leaves_when_it_is_not_met(settings: GatewaySettings) -> None:
    known = KnownFields(settings)
    all_fields = [b"Host: a\r\nX-N: %d\r\n\r\n" % number for number in range(3 * MOST_HEADS)]
    for each in all_fields:
        known.see(each)
        known.see(each)
    assert sum(known.get(each) is not None for each in all_fields) <= 2 * MOST_HEADS
    known.grow_old()
    known.grow_old()
    assert not any(known.get(each) for each in all_fields)
    answers = KnownAnswers()
    for number in range(1000):
        answers.learn(b"%d" % number, KnownAnswer(200, b"", 0))
    assert sum(answers.get(b"%d" % number) is not None for number in range(1000)) <= 64
    answers.forget()
    assert answers.get(b"1") is None


def test_a_long_line_above_known_fields_counts_with_them(
    issuer: Issuer, upstream: Upstream, token: str, tmp_path: Path
) -> None:
    """Neither is too large, both together are: 431 whether the fields are known or not."""
    gateway = GatewayProcess(issuer, upstream.url, tmp_path, MAX_HEADER_BYTES="4096").start()
    filled = fields(token, f"X-Filling: {'x' * 900}\r\n")
    with gateway.wire() as wire:
        for _ in range(TIMES):
            sent_on(wire, f"GET /data/v1/again HTTP/1.1\r\n{filled}")
        assert wire.ask(f"GET /data/v1/{'y' * 3000} HTTP/1.1\r\n{filled}").status == 431
    with gateway.wire() as wire:
        assert wire.ask(f"GET /data/v1/{'y' * 3000} HTTP/1.1\r\n{filled}").status == 431
    assert gateway.stop() == 0
