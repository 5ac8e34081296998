"""POST /invite and POST /admin/generate_link."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.auth import roles
from services.auth.scopes import ADMIN
from tests.auth.conftest import PASSWORD, Make, Person, Reply, Service
from tests.support.waiting import eventually

APP = "com.example.app://confirmed"


def _invite(root: Person, email: str, **members: Any) -> Reply:
    return root.post("/invite", {"email": email, **members})


def _link(root: Person, type: str, email: str, **members: Any) -> Reply:
    return root.post("/admin/generate_link", {"type": type, "email": email, **members})


@pytest.fixture
def prompt(make_service: Make) -> Service:
    """A service that mails as often as it is asked to."""
    return make_service(mail_interval_s=0)


def test_who_is_invited_comes_in_by_the_mail_and_has_no_password(service: Service, root: Person) -> None:
    bob = service.person("bob")
    reply = root.service.call(
        "POST",
        f"/invite?redirect_to={APP}",
        body={"email": bob.email, "data": {"team": "blue"}},
        headers=root.headers,
    )
    assert (reply.status, reply["email"], reply["user_metadata"]) == (200, bob.email, {"team": "blue"})
    assert reply["invited_at"] and reply["email_confirmed_at"] is None
    (asked,) = service.mails_to(bob.email)
    assert asked["template"] == "invite"
    assert service.mail_to(bob.email)["redirect_to"] == APP
    assert bob.verify("invite").status == 200
    assert (bob.get("/user")["user_metadata"], bob.user_id) == ({"team": "blue"}, reply["id"])
    assert bob.log_in().code == "invalid_credentials"
    assert service.deeds(root) == [("user.invited", bob.user_id)]
    assert _invite(root, bob.email).code == "email_exists"


def test_an_invitation_opens_by_its_link_too_and_once(prompt: Service) -> None:
    root, bob = prompt.administrator("root"), prompt.person("bob")
    _invite(root, bob.email)
    link = prompt.mail_to(bob.email)["link"]
    assert prompt.press(link).status in (200, 303)
    assert prompt.get(link.removeprefix("https://app.example.com/auth/v1")).status in (200, 403)
    assert bob.verify("invite").code == "otp_expired"


def test_where_there_is_no_app_to_lead_to_the_page_of_an_invitation_asks_for_a_password(make_service: Make) -> None:
    service = make_service(site_url="", redirect_urls="")
    root, bob = service.administrator("root"), service.person("bob")
    _invite(root, bob.email)
    assert service.press(service.mail_to(bob.email)["link"], password=PASSWORD).status == 200
    assert bob.log_in().status == 200


def test_a_stranger_who_signs_up_with_an_invited_address_gets_nothing(prompt: Service) -> None:
    root, bob, stranger = prompt.administrator("root"), prompt.person("bob"), prompt.person("bob")
    stranger.password = "the password of a stranger"
    _invite(root, bob.email)
    stranger.sign_up(data={"name": "stranger"})
    invitation = [mail for mail in prompt.mails_to(bob.email) if mail["template"] == "invite"][-1]["params"]["code"]
    assert bob.verify("invite", token=invitation).status == 200
    assert stranger.log_in().code == "invalid_credentials"
    assert bob.get("/user")["user_metadata"] == {}


def test_who_signed_up_before_is_invited_and_nothing_that_was_signed_up_with_counts(prompt: Service) -> None:
    root, stranger = prompt.administrator("root"), prompt.person("bob")
    stranger.sign_up(data={"name": "stranger"})
    assert _invite(root, stranger.email, data={"team": "blue"}).status == 200
    assert stranger.verify("invite").status == 200
    assert stranger.get("/user")["user_metadata"] == {"team": "blue"}
    assert stranger.log_in().code == "invalid_credentials"


def test_invitations_have_the_interval_of_every_mail(service: Service, root: Person) -> None:
    assert _invite(root, "bob@example.com").status == 200
    reply = _invite(root, "bob@example.com")
    assert (reply.status, reply.code) == (429, "over_email_send_rate_limit")
    assert len(service.mails_to("bob@example.com")) == 1


def test_every_link_is_what_the_mail_would_have_held_and_nothing_is_sent(prompt: Service) -> None:
    root, alice = prompt.administrator("root"), prompt.member("alice")
    sent = len(prompt.events("message.requested"))
    for type, email, more in (
        ("signup", "new@example.com", {"password": PASSWORD, "data": {"name": "N"}}),
        ("invite", "invited@example.com", {"data": {"name": "I"}}),
        ("magiclink", alice.email, {}),
        ("recovery", alice.email, {}),
    ):
        reply = _link(root, type, email, redirect_to=APP, **more)
        assert (reply.status, reply["email"], reply["verification_type"]) == (200, email, type)
        assert reply["redirect_to"] == APP
        assert f"token_hash={reply['hashed_token']}" in reply["action_link"] and f"type={type}" in reply["action_link"]
        person = Person(prompt, email)
        by_code = type in ("signup", "recovery")
        given = {"token": reply["email_otp"]} if by_code else {"token_hash": reply["hashed_token"]}
        assert person.verify(type, **given).status == 200, type
        assert person.get("/user")["user_metadata"] == more.get("data", {})
    assert len(prompt.events("message.requested")) == sent
    assert [deed for deed, _ in prompt.deeds(root)] == ["link.generated"] * 4


def test_a_magic_link_for_somebody_new_is_a_sign_up(service: Service, root: Person) -> None:
    bob = service.person("bob")
    reply = _link(root, "magiclink", bob.email)
    assert (reply["verification_type"], reply["redirect_to"]) == ("signup", "https://www.example.com/welcome")
    assert bob.verify("signup", token_hash=reply["hashed_token"]).status == 200


def test_both_links_of_a_change_of_address_change_it_and_another_wish_voids_both(
    service: Service, root: Person
) -> None:
    alice = service.member("alice")

    def link(which: str, new_email: str) -> str:
        reply = _link(root, f"email_change_{which}", alice.email, new_email=new_email)
        assert (reply["verification_type"], reply["new_email"]) == (f"email_change_{which}", new_email)
        return str(reply["hashed_token"])

    stale = link("current", "first@example.com")
    new, current = link("new", "second@example.com"), link("current", "second@example.com")
    assert alice.verify("email_change", token_hash=stale).code == "otp_expired"
    assert alice.verify("email_change_new", token_hash=new)["code"] == "200"
    assert alice.get("/user")["email"] == alice.email
    assert alice.verify("email_change_current", token_hash=current).status == 200
    assert alice.get("/user")["email"] == "second@example.com"


@pytest.mark.parametrize(
    ("type", "email", "more", "code"),
    [
        ("signup", "alice@example.com", {"password": PASSWORD}, "email_exists"),
        ("signup", "new@example.com", {}, "validation_failed"),
        ("signup", "new@example.com", {"password": "password1"}, "weak_password"),
        ("invite", "alice@example.com", {}, "email_exists"),
        ("recovery", "new@example.com", {}, "user_not_found"),
        ("email_change_new", "new@example.com", {"new_email": "x@example.com"}, "user_not_found"),
        ("email_change_new", "alice@example.com", {}, "validation_failed"),
        ("email_change_new", "alice@example.com", {"new_email": "root@example.com"}, "email_exists"),
        ("reauthentication", "alice@example.com", {}, "validation_failed"),
    ],
)
def test_what_cannot_be_makes_no_link(
    service: Service, root: Person, alice: Person, type: str, email: str, more: dict[str, Any], code: str
) -> None:
    before = service.rows("SELECT count(*) FROM users")
    assert _link(root, type, email, **more).code == code
    assert service.rows("SELECT count(*) FROM users") == before
    assert service.deeds(root) == []


def test_no_link_leads_into_the_account_of_another_administrator(service: Service, root: Person) -> None:
    other = service.administrator("toor")
    for type in ("magiclink", "recovery", "email_change_new"):
        assert _link(root, type, other.email, new_email="x@example.com").code == "admin_protected"
    assert _link(root, "magiclink", root.email).status == 200


def test_the_password_of_a_link_to_sign_up_takes_the_place_of_a_strangers(prompt: Service) -> None:
    root, stranger, bob = prompt.administrator("root"), prompt.person("bob"), prompt.person("bob")
    stranger.password = "the password of a stranger"
    stranger.sign_up()
    reply = _link(root, "signup", bob.email, password=bob.password)
    assert bob.verify("signup", token_hash=reply["hashed_token"]).status == 200
    assert stranger.log_in().code == "invalid_credentials"
    assert bob.log_in().status == 200


def test_a_link_from_before_leads_into_no_account_that_is_an_administrators_now(
    service: Service, root: Person, alice: Person
) -> None:
    token_hash = _link(root, "recovery", alice.email)["hashed_token"]
    assert root.administer("PUT", f"/{alice.user_id}/roles/admin").status == 200
    assert service.post("/verify", {"type": "recovery", "token_hash": token_hash}).code == "otp_expired"


def test_who_becomes_an_administrator_while_a_link_is_asked_for_is_one(
    service: Service, root: Person, alice: Person
) -> None:
    with ThreadPoolExecutor(1) as pool, service.db.transaction() as conn:
        roles.grant(conn, roles.find_by_address(conn, alice.email), ADMIN)
        asked = pool.submit(_link, root, "recovery", alice.email)
        waiting = """
            SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
        """
        eventually(lambda: service.rows(waiting))
    assert asked.result().code == "admin_protected"
