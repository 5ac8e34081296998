"""Issuers beside auth: whose tokens pass where, and what they must say."""

from collections.abc import Iterator

import pytest

from tests.contracts.gateway import doors
from tests.contracts.gateway.doors import Door, outcome
from tests.gateway.test_issuers import Company, table
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer
from tests.support.people import Person

LIMITED = """  - {prefix: /corp-limited, upstream: data, access: user, issuers: [gatehouse, corp], limits: [own-three]}
limits:
  own-three: {by: user, requests: 3, per_s: 600}
"""


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    made = Company()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["gateway", "envoy"])
def door(
    request: pytest.FixtureRequest,
    issuer: Issuer,
    company: Company,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("issuers")
    made = doors.make(request.param, issuer, upstream, folder)
    file = folder / "routes.yaml"
    file.write_text(table(company) + LIMITED)
    made.environment["ROUTES_FILE"] = str(file)
    made.start()
    yield made
    assert made.stop() == 0


def ask(door: Door, path: str, token: str) -> str:
    answer = door.ask("GET", f"{path}/x", headers={"Authorization": f"Bearer {token}"})
    return str(answer.status) if answer.status == 401 else outcome(answer)


def test_each_route_accepts_the_issuers_it_names(door: Door, company: Company, alice: Person) -> None:
    theirs, ours = company.sign(), alice.token()
    assert [ask(door, path, theirs) for path in ("/corp", "/any", "/data/v1")] == ["200", "200", "401"]
    assert [ask(door, path, ours) for path in ("/corp", "/any", "/data/v1")] == ["401", "200", "200"]
    assert ask(door, "/corp", company.sign("ed")) == "200"


@pytest.mark.parametrize(
    "claims", [{"iss": "https://else.example"}, {"aud": "another"}, {"exp": 1}, {"signed_by": "ec"}], ids=str
)
def test_a_token_that_is_not_right_is_refused(door: Door, company: Company, claims: dict[str, str]) -> None:
    assert ask(door, "/corp", company.sign(**claims)).split()[0] in ("401", "403")


def test_one_issuers_key_does_not_sign_for_another(door: Door, company: Company, issuer: Issuer) -> None:
    assert ask(door, "/any", company.sign(iss=issuer.issuer, aud="gatehouse", sub="x", sid="y")) == "401"


def test_scopes_are_where_the_issuer_has_them_as_words_or_as_a_list(door: Door, company: Company) -> None:
    passing = ["write read", "read", ["write", "read"]]
    assert [ask(door, "/corp-scoped", company.sign(scp=scopes)) for scopes in passing] == ["200"] * 3
    lacking: list[object] = ["reader", ["reader"], "", None]
    found = [ask(door, "/corp-scoped", company.sign(scp=scopes, scope="read")) for scopes in lacking]
    assert found == ["403 insufficient_scope"] * 4


def test_another_issuers_token_is_never_a_second_factor(door: Door, company: Company) -> None:
    assert ask(door, "/corp-careful", company.sign(aal="aal2")).startswith("403")


def test_a_key_of_a_kind_that_is_not_listed(door: Door, company: Company) -> None:
    answer = door.ask("GET", "/corp/x", headers={"Authorization": f"Bearer {company.sign('ec')}"})
    assert outcome(answer) == door.says("a key of a kind that an issuer's `algorithms` leave out")


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long")
def test_a_key_that_is_too_short(door: Door, company: Company) -> None:
    answer = door.ask("GET", "/corp/x", headers={"Authorization": f"Bearer {company.sign('weak')}"})
    assert outcome(answer) == door.says("an issuer's RSA key of 1,024 bits")


def test_users_of_two_issuers_who_have_one_name_have_a_bucket_each(
    door: Door, company: Company, issuer: Issuer, alice: Person
) -> None:
    theirs = company.sign(oid=str(alice.user_id))
    assert [ask(door, "/corp-limited", theirs) for _ in range(4)] == ["200"] * 3 + ["429 rate_limited"]
    assert ask(door, "/corp-limited", alice.token()) == "200"
