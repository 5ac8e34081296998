"""GET, PUT, DELETE /admin/users/{user_id}/factors, and passkeys."""

import pytest

from tests.auth.authenticators import App
from tests.auth.conftest import Person, Service, claims_of
from tests.auth.test_passkeys import ORIGIN, Authenticator, _register


@pytest.fixture
def app(alice: Person) -> App:
    """Alice's app, verified: her session is aal2."""
    made = App(alice)
    assert made.answer().status == 200
    return made


def test_factors_are_listed_and_named(service: Service, root: Person, alice: Person, app: App) -> None:
    other = alice.post("/factors", {"factor_type": "totp", "friendly_name": "other"})["id"]
    path = f"/{alice.user_id}/factors"
    factors = root.administer("GET", path).json
    assert [(one["factor_type"], one["friendly_name"], one["status"]) for one in factors] == [
        ("totp", "phone", "verified"),
        ("totp", "other", "unverified"),
    ]
    named = root.administer("PUT", f"{path}/{app.factor_id}", {"friendly_name": "the lost phone"})
    assert (named.status, named["id"], named["friendly_name"]) == (200, app.factor_id, "the lost phone")
    reply = root.administer("PUT", f"{path}/{other}", {"friendly_name": "the lost phone"})
    assert reply.code == "mfa_factor_name_conflict"
    assert root.administer("PUT", f"{path}/{app.factor_id}", {"friendly_name": "x", "phone": "+15550100"}).status == 400
    done = ["user.factors_listed", "user.factor_named"]
    assert service.deeds(root) == [(deed, alice.user_id) for deed in done]


def test_a_lost_factor_is_removed_its_codes_too_and_its_owner_is_told(
    service: Service, root: Person, alice: Person, app: App
) -> None:
    assert alice.post("/factors/recovery-codes").status == 200
    reply = root.administer("DELETE", f"/{alice.user_id}/factors/{app.factor_id}")
    assert (reply.status, reply["id"]) == (200, app.factor_id)
    assert root.administer("GET", f"/{alice.user_id}/factors").json == []
    assert alice.refresh().status == 200
    assert claims_of(alice.session["access_token"])["aal"] == "aal1"
    told = service.mails_to(alice.email)[-2:]
    assert [mail["template"] for mail in told] == ["factor_removed", "factor_removed"]
    assert "administrator" in told[0]["params"]["device"] and not told[0]["params"]["ip"]
    assert service.deeds(root)[:2] == [("user.factor_removed", alice.user_id)] * 2


def test_factors_of_somebody_else_and_of_administrators_are_not_removed(
    service: Service, root: Person, alice: Person, mallory: Person, app: App
) -> None:
    for method, body in (("DELETE", None), ("PUT", {"friendly_name": "x"})):
        reply = root.administer(method, f"/{mallory.user_id}/factors/{app.factor_id}", body)
        assert (reply.status, reply.code) == (404, "mfa_factor_not_found")
    root.administer("PUT", f"/{alice.user_id}/roles/admin")
    for path in (f"/{alice.user_id}/factors/{app.factor_id}", f"/{alice.user_id}/passkeys/{app.factor_id}"):
        assert root.administer("DELETE", path).code == "admin_protected"
    assert len(root.administer("GET", f"/{alice.user_id}/factors").json) == 1


def test_passkeys_are_listed_and_removed_and_their_owner_is_told(service: Service, root: Person, alice: Person) -> None:
    assert _register(alice, Authenticator(ORIGIN)).status == 200
    path = f"/{alice.user_id}/passkeys"
    (shown,) = root.administer("GET", path).json
    assert shown == alice.get("/passkeys").json[0]
    assert root.administer("DELETE", f"{path}/{alice.session_id}").code == "passkey_not_found"
    reply = root.administer("DELETE", f"{path}/{shown['id']}")
    assert (reply.status, alice.get("/passkeys").json) == (204, [])
    assert service.mails_to(alice.email)[-1]["template"] == "passkey_removed"
    assert service.deeds(root) == [("user.passkeys_listed", alice.user_id), ("user.passkey_removed", alice.user_id)]
