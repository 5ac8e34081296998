"""What nobody can put into the cache, or get out of it."""

from pathlib import Path

import pytest

from tests.gateway.cache.origin import FRESH, Origin, get, status_of
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.issuer import Issuer
from tests.support.people import Person

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
    came = origin.asked[1].value(next(iter(header)).replace("_", "-"))
    assert (came is None) == ("Cookie" in header), "this service takes no cookies"
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
