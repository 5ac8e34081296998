"""Mails to a person whose account was entered on a new device, or changed in what guards it."""

from typing import Any
from uuid import UUID

from services.auth import new_devices, store
from tests.auth.conftest import Make, Person, Service

NEW = "a new and long password"
PHONE = {"User-Agent": "App/1.2 (iPhone; iOS 18.1)"}
MAC = {"User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15", "X-Forwarded-For": "192.0.2.7"}


def mails(service: Service, email: str, *templates: str) -> list[dict[str, Any]]:
    return [mail for mail in service.mails_to(email) if mail["template"] in templates]


def new_device_mails(person: Person) -> list[dict[str, str]]:
    return [mail["params"] for mail in mails(person.service, person.email, "new_device")]


def test_a_log_in_on_a_device_never_seen_before_is_mailed_and_the_next_one_is_not(service: Service) -> None:
    alice = service.member("alice")
    for _ in range(2):
        alice.log_in(**MAC)
    assert new_device_mails(alice) == [{"name": "", "device": "Mac", "ip": "192.0.2.7"}]
    (event,) = [one for one in service.events("user.security_changed") if one.data["change"] == "new_device"]
    assert event.data["session_id"] != alice.session_id and event.data["user_id"] == alice.user_id


def test_neither_the_first_log_in_nor_an_update_is_a_new_device(service: Service) -> None:
    alice = service.member("alice")
    service.rows("DELETE FROM known_devices")
    service.rows("DELETE FROM sessions")
    for user_agent in ("App/1.2 (iPhone; iOS 18.1)", "App/1.3 (iPhone; iOS 18.2)", "App/10.0.1 (iPhone; iOS 19)"):
        alice.log_in(**{"User-Agent": user_agent})
    assert new_device_mails(alice) == []


def test_who_had_sessions_before_devices_were_known_is_told_of_a_new_one_at_once(service: Service) -> None:
    alice = service.member("alice")
    alice.log_in(**PHONE)
    service.rows("DELETE FROM known_devices")
    alice.log_in(**PHONE)
    alice.log_in(**MAC)
    assert [mail["device"] for mail in new_device_mails(alice)] == ["iPhone", "Mac"]


def test_a_client_that_is_another_one_at_each_log_in_brings_three_mails_a_day(service: Service) -> None:
    alice = service.member("alice")
    for letter in "abcdef":
        alice.log_in(**{"User-Agent": f"Client-{letter}"})
    assert len(new_device_mails(alice)) == 3
    assert [row["details"]["new_device"] for row in service.log(alice, "session.opened")] == [False] + [True] * 6
    service.rows("UPDATE known_devices SET told_at = now() - interval '25 hours'")
    alice.log_in(**{"User-Agent": "Client-g"})
    assert len(new_device_mails(alice)) == 4


def test_fifty_devices_are_known_and_the_others_forgotten(service: Service) -> None:
    alice = service.member("alice")
    user_id = UUID(alice.user_id)
    with service.db.transaction() as conn:
        store.insert_known_devices(conn, user_id, [number.to_bytes(2) for number in range(70)])
    alice.log_in(**MAC)
    sql = "SELECT count(*) AS count FROM known_devices WHERE user_id = %(id)s"
    assert service.rows(sql, id=alice.user_id) == [{"count": new_devices.KEPT}]
    alice.log_in(**MAC)
    assert len(new_device_mails(alice)) == 1


def test_the_operator_can_switch_the_mail_off_and_the_log_still_says_it(make_service: Make) -> None:
    service = make_service(new_device_mails=False)
    alice = service.member("alice")
    alice.log_in(**MAC)
    assert new_device_mails(alice) == []
    assert service.log(alice, "session.opened")[-1]["details"]["new_device"] is True


def test_what_a_device_calls_itself_is_no_link_in_a_mail(service: Service) -> None:
    alice = service.member("alice")
    alice.log_in(**{"User-Agent": "Mozilla/5.0 (Linux; Android 15; evil.example/now) Chrome"})
    (mail,) = new_device_mails(alice)
    assert mail["device"] == "Unknown device"


def test_a_new_password_is_mailed_wherever_it_was_set(make_service: Make) -> None:
    service = make_service(site_url="")
    alice = service.member("alice")
    alice.change(password=NEW)
    service.post("/recover", {"email": alice.email})
    service.press(service.mail_to(alice.email)["link"], password="another long password")
    told = [mail["params"] for mail in mails(service, alice.email, "password_changed")]
    assert told == [{"name": "", "device": "Unknown device", "ip": "127.0.0.1"}] * 2


def test_a_new_address_is_mailed_to_the_old_one(service: Service) -> None:
    alice = service.member("alice")
    alice.change(email="alice@new.example")
    service.post("/verify", {"type": "email_change", "email": alice.email, "token": service.code_to(alice.email)})
    assert mails(service, alice.email, "email_changed") == []
    alice.verify("email_change", email="alice@new.example")
    (mail,) = mails(service, alice.email, "email_changed")
    assert mail["params"]["new_email"] == "alice@new.example"
    assert mails(service, "alice@new.example", "email_changed") == []


def test_a_new_number_and_one_that_goes_are_mailed(make_service: Make) -> None:
    service = make_service(test_codes="+15550100001=100001")
    alice = service.member("alice")
    alice.change(phone="+15550100001")
    service.post("/verify", {"type": "phone_change", "phone": "+15550100001", "token": "100001"})
    (mail,) = mails(service, alice.email, "phone_changed")
    assert "5550100001" not in str(mail["params"])
    number = next(one for one in alice.get("/user")["identities"] if one["provider"] == "phone")
    assert alice.delete(f"/user/identities/{number['identity_id']}").status == 200
    (mail,) = mails(service, alice.email, "identity_unlinked")
    assert mail["params"]["provider"] == "phone"
    assert service.log(alice, "user.identity_unlinked")[0]["details"]["provider"] == "phone"


def test_who_has_no_address_is_not_mailed_and_the_log_still_tells(make_service: Make) -> None:
    service = make_service(test_codes="+15550100001=100001")
    alice, phone = service.person("alice"), "+15550100001"
    service.post("/signup", {"phone": phone, "password": alice.password})
    alice.keep(service.post("/verify", {"type": "sms", "phone": phone, "token": "100001"}))
    assert alice.change(password=NEW).status == 200
    assert service.events("message.requested") == []
    told = [row["action"] for row in service.log(alice)]
    assert told == ["user.registered", "user.phone_confirmed", "session.opened", "user.password_changed"]
