"""Who may pass: access, scopes, and every attack on a token."""

import pytest

from tests.contracts.gateway.doors import DIFFERENCES, Door, outcome
from tests.gateway.test_tokens import ATTACKS
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.people import Person


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_that_is_not_right_is_refused(door: Door, issuer: Issuer, upstream: Upstream, attack: str) -> None:
    make, reason = ATTACKS[attack]
    path = f"/data/v1/{door.name}/{attack.replace(' ', '-')}"
    answer = door.ask("GET", path, headers={"Authorization": f"Bearer {make(issuer)}"})
    listed = f"token: {attack}"
    if listed in DIFFERENCES:
        assert outcome(answer) == door.says(listed)
    else:
        code = door.says("code of a bad token")
        assert outcome(answer) == (f"401 {reason}" if code == "401, and why" else code)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert len(upstream.seen(path)) == (answer.status == 200)


def test_without_a_token(door: Door) -> None:
    answer = door.ask("GET", "/data/v1/x")
    assert outcome(answer) == "401 token_missing"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for scheme in ("Basic YTpi", "Bearer"):
        assert door.ask("GET", "/data/v1/x", headers={"Authorization": scheme}).status == 401


def test_a_token_in_the_query_is_no_token(door: Door, alice: Person) -> None:
    assert door.ask("GET", f"/data/v1/x?access_token={alice.token()}").status == 401


def test_two_authorizations(door: Door, alice: Person, upstream: Upstream) -> None:
    line = f"Authorization: Bearer {alice.token()}\r\n"
    path = f"/data/v1/{door.name}/two"
    with door.wire() as wire:
        answer = wire.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n{line}{line}\r\n")
    assert outcome(answer) == door.says("two `Authorization` fields")
    assert upstream.seen(path) == []


@pytest.mark.parametrize(
    ("path", "scope", "expected"),
    [
        ("/scoped/all", "a:read a:write", "200"),
        ("/scoped/all", "a:write other a:read", "200"),
        ("/scoped/all", "a:read", "403 insufficient_scope"),
        ("/scoped/all", "", "403 insufficient_scope"),
        ("/scoped/all", "a:reader a:write", "403 insufficient_scope"),
        ("/scoped/any", "b:read", "200"),
        ("/scoped/any", "a:write", "403 insufficient_scope"),
    ],
)
def test_scopes(door: Door, alice: Person, path: str, scope: str, expected: str) -> None:
    answer = door.ask("GET", path, headers={"Authorization": f"Bearer {alice.token(scope=scope)}"})
    assert outcome(answer) == expected
    if answer.status == 403:
        assert answer.headers["WWW-Authenticate"].startswith('Bearer error="insufficient_scope"')


def test_an_optional_token_may_be_absent_but_not_bad(door: Door, alice: Person, issuer: Issuer) -> None:
    assert door.ask("GET", "/optional/x").status == 200
    assert door.ask("GET", "/optional/x", headers=alice.headers).status == 200
    expired = issuer.token(alice.user_id, exp=1)
    assert door.ask("GET", "/optional/x", headers={"Authorization": f"Bearer {expired}"}).status == 401


def test_a_public_route_looks_at_no_token(door: Door) -> None:
    assert door.ask("GET", "/open/x", headers={"Authorization": "Bearer garbage"}).status == 200


def test_a_service_has_no_session(door: Door, issuer: Issuer) -> None:
    token = issuer.service_token("a:read b:read")
    assert door.ask("GET", "/scoped/any", headers={"Authorization": f"Bearer {token}"}).status == 200


def test_a_second_factor(door: Door, alice: Person) -> None:
    shown = {"Authorization": f"Bearer {alice.token(aal='aal2')}"}
    assert door.ask("GET", "/careful/x", headers=shown).status == 200
    answer = door.ask("GET", "/careful/x", headers=alice.headers)
    assert outcome(answer) == door.says("a missing second factor")
