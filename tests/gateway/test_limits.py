"""Limits as a client meets them: who shares a bucket, what a refusal says, what shadow mode does."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import routes
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream
from tests.gateway.wire import Answer
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

LIMITS = Path(__file__).with_name("limits.yaml")


@pytest.fixture(name="limited", scope="module")
def gateway_with_limits(
    issuer: Issuer, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One for all: each test has addresses of its own."""
    folder = tmp_path_factory.mktemp("limits")
    process = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(LIMITS), TRUSTED_HOPS="1").start()
    yield process
    assert process.stop() == 0


def from_address(address: str, **fields: str) -> dict[str, str]:
    return {"X-Forwarded-For": address, **fields}


def statuses(gateway: GatewayProcess, path: str, times: int, headers: dict[str, str]) -> list[int]:
    return [gateway.ask("GET", path, headers=headers).status for _ in range(times)]


def test_a_burst_passes_until_the_bucket_is_empty_and_the_refusal_says_all_there_is_to_know(
    limited: GatewayProcess, upstream: Upstream
) -> None:
    answers = [limited.ask("GET", "/door/burst", headers=from_address("192.0.2.1")) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 4 + [429] * 2
    assert len(upstream.seen("/door/burst")) == 4
    assert [answer.headers["RateLimit-Policy"] for answer in answers] == ['"door";q=4;w=86400'] * 6
    assert [left(answer, "door") for answer in answers] == [3, 2, 1, 0, 0, 0]
    refused = answers[-1]
    assert refused.code == "rate_limited"
    assert refused.json["violated-policies"] == ["door"] and "door" in refused.json["detail"]
    assert 21_000 < int(refused.headers["Retry-After"]) <= 21_600
    assert refused.headers["RateLimit"] == f'"door";r=0;t={refused.headers["Retry-After"]}'
    assert limited.ask("GET", "/door/burst", headers=from_address("192.0.2.2")).status == 200


def left(answer: Answer, limit: str) -> int:
    item, remaining, reset = answer.headers["RateLimit"].split(";")
    assert item == f'"{limit}"' and remaining.startswith("r=") and int(reset.removeprefix("t=")) >= 0
    return int(remaining.removeprefix("r="))


def test_a_limit_named_by_two_routes_is_one_limit(limited: GatewayProcess) -> None:
    client = from_address("192.0.2.3")
    assert statuses(limited, "/door/x", 3, client) == [200] * 3
    assert statuses(limited, "/other-door/x", 2, client) == [200, 429]


def test_a_bucket_fills_again(limited: GatewayProcess) -> None:
    """40 a second and a burst of 2: ten requests cannot pass at once, and do if refusals are waited out."""
    passed, refused = 0, 0
    client = from_address("192.0.2.4")
    while passed < 10 and refused < 500:
        answer = limited.ask("GET", "/quick/x", headers=client)
        passed, refused = passed + (answer.status == 200), refused + (answer.status == 429)
        if answer.status == 429:
            assert answer.headers["Retry-After"] == "1"  # whole seconds are all that it can say
            time.sleep(0.03)
    assert passed == 10


def test_each_user_has_a_bucket_whatever_the_address_and_the_token(
    limited: GatewayProcess, alice: Person, mallory: Person
) -> None:
    first, second = from_address("192.0.2.5"), from_address("192.0.2.6")
    assert statuses(limited, "/person/x", 3, {**alice.headers, **first}) == [200] * 3
    again = {"Authorization": f"Bearer {alice.token(jti='another')}", **second}
    assert statuses(limited, "/person/x", 3, again) == [200, 200, 429]
    assert statuses(limited, "/person/x", 1, {**mallory.headers, **second}) == [200]


def test_without_a_token_a_limit_by_user_counts_the_address(limited: GatewayProcess, alice: Person) -> None:
    client = from_address("192.0.2.7")
    assert statuses(limited, "/perhaps/x", 6, client) == [200] * 5 + [429]
    assert statuses(limited, "/perhaps/x", 1, {**alice.headers, **client}) == [200]


def test_a_limit_by_route_is_shared_by_everyone(limited: GatewayProcess) -> None:
    assert [statuses(limited, "/all/x", 1, from_address(f"192.0.2.{n}"))[0] for n in range(5)] == [200] * 3 + [429] * 2


def test_a_limit_by_key_counts_each_key_and_who_has_none_by_address(limited: GatewayProcess) -> None:
    def with_key(name: str, key: str) -> dict[str, str]:
        return from_address("192.0.2.8", **{name: key})

    assert statuses(limited, "/app/x", 3, with_key("X-Api-Key", "one")) == [200, 200, 429]
    assert statuses(limited, "/app/x", 1, with_key("x-api-KEY", "one ")) == [429]
    assert statuses(limited, "/app/x", 3, with_key("X-Api-Key", "two")) == [200, 200, 429]
    assert statuses(limited, "/app/x", 3, from_address("192.0.2.8")) == [200, 200, 429]
    assert statuses(limited, "/app/x", 1, from_address("192.0.2.9")) == [200]


def test_bad_tokens_are_counted_by_address_before_anyone_looks_at_them(limited: GatewayProcess) -> None:
    client = from_address("192.0.2.10", Authorization="Bearer no.token.atall")
    assert statuses(limited, "/guarded/x", 10, client) == [401] * 8 + [429] * 2


def test_of_two_limits_the_one_with_least_left_is_shown(limited: GatewayProcess, alice: Person) -> None:
    client = {**alice.headers, **from_address("192.0.2.11")}
    answers = [limited.ask("GET", "/guarded/x", headers=client) for _ in range(6)]
    assert [left(answer, "person") for answer in answers] == [4, 3, 2, 1, 0, 0]
    assert answers[-1].status == 429 and answers[-1].json["violated-policies"] == ["person"]


def test_shadow_mode_counts_and_logs_and_refuses_nobody(limited: GatewayProcess) -> None:
    answers = [limited.ask("GET", "/watched/x", headers=from_address("192.0.2.12")) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    assert not [answer for answer in answers if answer.headers["RateLimit"] or answer.headers["RateLimit-Policy"]]
    counted = "gateway_rate_limited_total"
    eventually(lambda: limited.metric(counted, limit="watched", mode="shadow") == 3, what="the metric counts")
    assert limited.metric(counted, limit="watched", mode="enforce") == 0

    def logged() -> list[str]:
        return [line["limit"] for line in limited.lines() if line.get("route") == "/watched/*" and "limit" in line]

    eventually(lambda: logged() == ["watched"] * 3, what="the access log names the limit")

    def told() -> bool:
        return any("watched would have refused" in line["message"] for line in limited.lines() if "message" in line)

    eventually(told, what="the log says so, a moment after the metric")


def test_refusals_and_buckets_are_counted(limited: GatewayProcess) -> None:
    for number in range(5):
        statuses(limited, "/counted/x", 3 if number == 0 else 1, from_address(f"192.0.2.{number}"))
    eventually(lambda: limited.metric("gateway_limit_buckets", limit="counted") == 5, what="five buckets")
    assert limited.metric("gateway_rate_limited_total", limit="counted", mode="enforce") == 1


def test_a_route_may_do_without_limits(limited: GatewayProcess) -> None:
    answers = [limited.ask("GET", "/free/x", headers=from_address("192.0.2.13")) for _ in range(12)]
    assert {answer.status for answer in answers} == {200} and answers[0].headers["RateLimit"] is None


def test_a_whole_ipv6_network_is_one_client(limited: GatewayProcess) -> None:
    one_network = [f"2001:db8:0:1::{number}" for number in range(5)]
    found = [statuses(limited, "/door/x", 1, from_address(address))[0] for address in one_network]
    assert found == [200] * 4 + [429]
    assert statuses(limited, "/door/x", 1, from_address("2001:db8:0:2::1")) == [200]


def test_writing_addresses_into_the_header_does_not_give_a_client_another_bucket(limited: GatewayProcess) -> None:
    forged = [from_address(f"203.0.113.{number}, 192.0.2.14") for number in range(5)]
    assert [limited.ask("GET", "/door/x", headers=one).status for one in forged] == [200] * 4 + [429]


def test_a_client_that_floods_with_addresses_does_not_fill_the_memory(
    issuer: Issuer, upstream: Upstream, folder: Path
) -> None:
    environment = {"ROUTES_FILE": str(LIMITS), "TRUSTED_HOPS": "1", "LIMIT_BUCKETS": "50"}
    gateway = GatewayProcess(issuer, upstream.url, folder, **environment).start()
    try:
        with gateway.wire() as wire:
            for number in range(200):
                head = f"GET /door/x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.{number}.1\r\n\r\n"
                assert wire.ask(head).status == 200
        eventually(lambda: gateway.metric("gateway_limit_buckets", limit="door") > 0, what="the gauge is set")
        assert gateway.metric("gateway_limit_buckets", limit="door") <= 50
    finally:
        gateway.stop()


def test_workers_share_a_limit_out_and_a_factor_multiplies_it(issuer: Issuer, upstream: Upstream, folder: Path) -> None:
    """Two workers with half of four times four: eight each. Which of them is asked is the kernel's choice."""
    environment = {"ROUTES_FILE": str(LIMITS), "WEB_WORKERS": "2", "LIMITS_FACTOR": "4"}
    gateway = GatewayProcess(issuer, upstream.url, folder, **environment).start()
    try:
        answers = [gateway.ask("GET", "/door/x") for _ in range(60)]
        passed = [answer for answer in answers if answer.status == 200]
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"door";q=8;w=86400'}
        assert 8 <= len(passed) <= 16  # one of the two may be asked too seldom to use up its half
        with gateway.wire() as wire:  # on one connection, one worker
            asked = [wire.ask("GET /other-door/x HTTP/1.1\r\nHost: a\r\n\r\n").status for _ in range(9)]
        assert asked[-1] == 429
    finally:
        gateway.stop()


def test_a_changed_table_does_not_fill_the_buckets(issuer: Issuer, upstream: Upstream, folder: Path) -> None:
    table = folder / "routes.yaml"
    table.write_text(LIMITS.read_text())
    gateway = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(table), TRUSTED_HOPS="1").start()
    try:
        client = from_address("192.0.2.1")
        assert statuses(gateway, "/door/x", 5, client) == [200] * 4 + [429]
        table.write_text(LIMITS.read_text().replace("door: {by: ip, requests: 4", "door: {by: ip, requests: 3"))
        eventually(lambda: gateway.metric("gateway_table_reloads_total", outcome="taken") == 1, what="it is taken")
        refused = gateway.ask("GET", "/door/x", headers=client)
        assert refused.status == 429 and refused.headers["RateLimit-Policy"] == '"door";q=3;w=86400'
        assert statuses(gateway, "/door/x", 4, from_address("192.0.2.2")) == [200] * 3 + [429]
    finally:
        gateway.stop()


@pytest.mark.parametrize(
    ("limits", "mistake"),
    [
        ("x: {by: ip, requests: 1, header: X-Key}", "line 4: limits.x: by: key needs the header"),
        ("x: {by: key, requests: 1}", "line 4: limits.x: by: key needs the header"),
        ("x: {by: key, requests: 1, header: Authorization}", "line 4: limits.x: Authorization is not a header"),
        ("x: {by: key, requests: 1, header: X-User-Id}", "line 4: limits.x: X-User-Id is not a header"),
        ("x: {by: ip, requests: 0}", "line 4: limits.x.requests: "),
        ("y: {by: ip, requests: 1}", "line 6: routes[0].limits: 'x' is not one of limits"),
    ],
)
def test_a_wrong_limit_is_reported_with_its_place(tmp_path: Path, limits: str, mistake: str) -> None:
    file = tmp_path / "routes.yaml"
    route = json.dumps({"path": "/a", "upstream": "a", "access": "public", "limits": ["x"]})
    file.write_text(f'upstreams:\n  a: {{url: "http://a:1"}}\nlimits:\n  {limits}\nroutes:\n  - {route}\n')
    with pytest.raises(routes.Mistakes) as found:
        routes.read(file)
    assert [line for line in found.value.lines if line.startswith(mistake)], found.value.lines
