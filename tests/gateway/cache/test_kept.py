"""What the cache keeps, for whom and how long."""

import pytest

from tests.gateway.cache.origin import FRESH, H, Origin, get, status_of
from tests.gateway.compression.document import DOCUMENT, JSON, UNPACK
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream


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
