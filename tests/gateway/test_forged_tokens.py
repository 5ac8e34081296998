"""Tokens that nobody has signed are counted by address; what was good once is not, and what is good always passes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import routes
from gateway.config import ROUTES_FILE
from tests.gateway.process import GatewayProcess
from tests.gateway.redis_server import RedisServer
from tests.gateway.test_limits import LIMITS, from_address
from tests.gateway.test_tokens import ATTACKS
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

GENUINE = {"token_missing", "token_expired", "token_not_yet_valid"}


@contextmanager
def running(issuer: Issuer, upstream: Upstream, folder: Path, **environment: str) -> Iterator[GatewayProcess]:
    made = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(LIMITS), TRUSTED_HOPS="1", **environment)
    try:
        yield made.start()
    finally:
        assert made.stop() == 0


@pytest.fixture(scope="module")
def counted_here(
    issuer: Issuer, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    with running(issuer, upstream, tmp_path_factory.mktemp("here")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def counted_in_redis(
    issuer: Issuer, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder).start()
    with running(issuer, upstream, folder, REDIS_URL=server.url, LIMITS_TIMEOUT_S="1") as gateway:
        yield gateway
    server.stop()


@pytest.fixture(params=["counted_here", "counted_in_redis"])
def gateway(request: pytest.FixtureRequest) -> GatewayProcess:
    made: GatewayProcess = request.getfixturevalue(request.param)
    return made


Ask = Callable[..., str]


@pytest.fixture
def ask(gateway: GatewayProcess, request: pytest.FixtureRequest) -> Ask:
    """`ask("192.0.2.1", token)` is the answer's status and code; an address is one test's own."""

    def ask_from(address: str, token: str, path: str = "/signed/x", body: bytes = b"") -> str:
        headers = from_address(address, Authorization=f"Bearer {token}")
        answer = gateway.ask("POST" if body else "GET", path, headers=headers, body=body)
        return "200" if answer.status == 200 else f"{answer.status} {answer.code}"

    return ask_from


def forged(token: str) -> str:
    return token[:-8] + "AAAAAAAA"


def test_forged_tokens_are_429_after_some_and_good_ones_of_the_same_address_pass_all_the_time(
    gateway: GatewayProcess, ask: Ask, upstream: Upstream, alice: Person, mallory: Person
) -> None:
    nat = "192.0.2.1"
    assert [ask(nat, forged(alice.token())) for _ in range(3)] == ["401 token_signature"] * 3
    assert [ask(nat, forged(alice.token())) for _ in range(5)] == ["429 rate_limited"] * 5
    assert [ask(nat, one.token()) for one in (alice, mallory)] == ["200"] * 2, "a neighbour is not locked out"
    assert ask(nat, forged(alice.token()), "/signed-too/x") == "429 rate_limited", "one limit, whatever the route"
    assert ask(nat, forged(alice.token()), body=b"x" * 5_000) == "429 rate_limited"
    assert ask("192.0.2.2", forged(alice.token())) == "401 token_signature"
    refused = gateway.ask(
        "GET", "/signed/x", headers=from_address(nat, Authorization=f"Bearer {forged(alice.token())}")
    )
    assert refused.json["violated-policies"] == ["forged"] and int(refused.headers["Retry-After"]) > 20_000
    eventually(lambda: gateway.metric("gateway_rate_limited_total", limit="forged", mode="enforce") >= 8)


def test_what_was_good_once_and_what_is_no_token_at_all_is_not_counted(
    ask: Ask, gateway: GatewayProcess, issuer: Issuer, alice: Person
) -> None:
    address = "192.0.2.3"
    for _ in range(5):
        assert ask(address, alice.token(exp=1)) == "401 token_expired"
        assert gateway.ask("GET", "/signed/x", headers=from_address(address)).code == "token_missing"
    assert ask(address, forged(alice.token())) == "401 token_signature"


@pytest.mark.parametrize("number", range(len(ATTACKS)), ids=list(ATTACKS))
def test_every_attack_on_a_token_is_counted(ask: Ask, issuer: Issuer, number: int) -> None:
    make, reason = list(ATTACKS.values())[number]
    address = f"198.51.100.{number}"
    answers = [ask(address, make(issuer)) for _ in range(4)]
    last = f"401 {reason}" if reason in GENUINE else "429 rate_limited"
    assert answers == [f"401 {reason}"] * 3 + [last]


def test_the_table_that_ships_counts_forged_tokens_wherever_it_looks_at_one() -> None:
    table = routes.read(ROUTES_FILE).table()
    looking = [route for route in table.routes if route.access != "public"]
    assert looking and all(route.forged_limits for route in looking)
