"""PUT /user with another address: both have to agree."""

import pytest

from tests.auth.conftest import Make, Person, Reply, Service, at_once

NEW = "alice@new.example.com"


@pytest.fixture
def service(make_service: Make) -> Service:
    return make_service(mail_interval_s=0)


@pytest.fixture
def alice(service: Service) -> Person:
    """Alice, who has asked for another address."""
    alice = service.member("alice")
    reply = alice.change(email=NEW)
    assert (reply.status, reply["email"], reply["new_email"]) == (200, alice.email, NEW)
    return alice


def _agree(service: Service, address: str) -> Reply:
    body = {"type": "email_change", "email": address, "token": service.code_to(address)}
    return service.post("/verify", body)


@pytest.mark.parametrize("first", ["alice@example.com", NEW])
def test_the_address_changes_when_both_have_agreed_in_any_order(service: Service, alice: Person, first: str) -> None:
    second = NEW if first == alice.email else alice.email
    halfway = _agree(service, first)
    assert (halfway.status, list(halfway.json)) == (200, ["msg", "code"])
    assert alice.get("/user")["email"] == alice.email
    reply = _agree(service, second)
    assert (reply["user"]["email"], reply["user"]["new_email"]) == (NEW, None)
    assert service.events("user.updated")[-1].data["email"] == NEW
    assert Person(service, NEW).log_in().status == 200
    assert alice.log_in().code == "invalid_credentials"


def test_the_new_address_alone_moves_no_account(service: Service, alice: Person) -> None:
    """Somebody with a borrowed phone asks for it, and owns only the new address."""
    for _ in range(3):
        assert _agree(service, NEW).status in (200, 403)
    assert alice.get("/user")["email"] == alice.email
    service.rows("UPDATE one_time_tokens SET expires_at = now() WHERE kind = 'email_change_current'")
    service.rows("UPDATE one_time_tokens SET consumed_at = NULL WHERE kind = 'email_change_new'")
    assert list(_agree(service, NEW).json) == ["msg", "code"], "nor when the old one's mail has expired"
    assert alice.get("/user")["email"] == alice.email


def test_the_consent_to_one_new_address_is_none_to_the_next(service: Service, alice: Person) -> None:
    assert _agree(service, alice.email).status == 200
    assert alice.change(email="mallory@example.com").status == 200
    assert list(_agree(service, "mallory@example.com").json) == ["msg", "code"]
    assert alice.get("/user")["email"] == alice.email


def test_nothing_that_was_mailed_to_the_old_address_works_after_the_change(service: Service, alice: Person) -> None:
    service.post("/recover", {"email": alice.email})
    recovery = service.mail_to(alice.email)["token_hash"]
    body = {"type": "email_change", "token_hash": _link_hash(service, alice.email)}
    assert service.post("/verify", body).status == 200
    assert _agree(service, NEW).status == 200
    assert service.post("/verify", {"type": "recovery", "token_hash": recovery}).code == "otp_expired"


def _link_hash(service: Service, address: str) -> str:
    mail = next(mail for mail in service.mails_to(address) if mail["template"].startswith("email_change"))
    return str(mail["params"]["link"].split("token_hash=")[1].split("&")[0])


def test_both_links_agree_too_and_the_second_leads_to_the_app_with_a_session(service: Service, alice: Person) -> None:
    first = service.press(service.mail_to(alice.email)["link"])
    assert first.status == 200 and "One of two is done" in first.text and "#message=" in first.text
    second = service.press(service.mail_to(NEW)["link"])
    assert second.status == 303
    assert "access_token=" in second.headers["Location"] and "type=email_change" in second.headers["Location"]
    assert alice.get("/user")["email"] == NEW


def test_an_address_that_is_taken_is_refused_and_looking_for_them_is_throttled(make_service: Make) -> None:
    service = make_service(mail_interval_s=0, log_in_tries=3)
    alice, bob = service.member("alice"), service.member("bob")
    assert (alice.change(email=bob.email).status, alice.change(email=bob.email).code) == (422, "email_exists")
    assert alice.change(email=bob.email).code == "email_exists"
    assert alice.change(email="free@example.com").code == "over_request_rate_limit"


def test_an_address_that_somebody_takes_meanwhile_stays_theirs(service: Service, alice: Person) -> None:
    assert _agree(service, alice.email).status == 200
    bob = Person(service, NEW)
    bob.sign_up()
    code = next(m for m in service.mails_to(NEW) if m["template"] == "email_change_new")["params"]["code"]
    reply = service.post("/verify", {"type": "email_change", "email": NEW, "token": code})
    assert (reply.status, reply.code) == (422, "email_exists")
    assert alice.get("/user")["email"] == alice.email


def test_the_mails_come_again_on_request_and_void_the_older_ones(service: Service, alice: Person) -> None:
    stale = service.mail_to(NEW)["code"]
    assert service.post("/resend", {"type": "email_change", "email": alice.email}).json == {}
    assert len(service.mails_to(NEW)) == 2
    if stale != service.mail_to(NEW)["code"]:
        assert service.post("/verify", {"type": "email_change", "email": NEW, "token": stale}).status == 403
    assert _agree(service, alice.email).status == _agree(service, NEW).status == 200


def test_nobody_learns_by_resending_whether_a_change_is_under_way(service: Service, alice: Person) -> None:
    bob = service.member("bob")
    emails = (alice.email, bob.email, "nobody@example.com")
    replies = [service.post("/resend", {"type": "email_change", "email": email}) for email in emails]
    assert [(reply.status, reply.json) for reply in replies] == [(200, {})] * 3
    assert [mail["template"] for mail in service.mails_to(bob.email)] == ["confirm_signup"]


def test_a_change_goes_once_an_interval(make_service: Make) -> None:
    service = make_service()
    alice = service.member("alice")
    assert alice.change(email=NEW).status == 200
    reply = alice.change(email="other@example.com")
    assert (reply.status, reply.code) == (429, "over_email_send_rate_limit")
    assert int(reply.headers["Retry-After"]) > 0
    assert alice.get("/user")["new_email"] == NEW


@pytest.mark.parametrize("address", ["alice@example.com", NEW])
def test_of_twenty_tries_with_one_code_at_once_one_wins(service: Service, alice: Person, address: str) -> None:
    replies = at_once(lambda _: _agree(service, address))
    assert sorted(reply.status for reply in replies) == [200] + [403] * 19


def test_both_at_once_many_times_change_the_address_once(service: Service, alice: Person) -> None:
    replies = at_once(lambda n: _agree(service, NEW if n % 2 else alice.email))
    assert sorted(reply.status for reply in replies)[:3] == [200, 200, 403]
    assert alice.get("/user")["email"] == NEW
    assert len(service.events("user.updated")) == 2, "at the sign-up, and now"
