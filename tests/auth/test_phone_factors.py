"""/factors with `factor_type` phone: a code by SMS as the second factor, through the send-SMS hook."""

from collections.abc import Iterator

import pytest

from services.auth.hook_sender import send_due
from tests.auth.conftest import Make, Person, Reply, Service, at_once, claims_of
from tests.support.hooks import HookReceiver

NUMBER = "4915112345678"
BODY = {"factor_type": "phone", "friendly_name": "mobile", "phone": f"+{NUMBER}"}


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    made = HookReceiver()
    yield made
    made.close()


@pytest.fixture
def service(make_service: Make, receiver: HookReceiver) -> Service:
    return make_service(hook_send_sms_url=receiver.url("sms"), hook_secrets=receiver.secret, mail_interval_s=0)


class Mobile:
    """A phone number as one factor of a person."""

    def __init__(self, person: Person, receiver: HookReceiver) -> None:
        self.person, self.receiver = person, receiver
        self.enrolled = person.post("/factors", BODY)
        assert self.enrolled.status == 200, self.enrolled.text
        self.path = f"/factors/{self.enrolled['id']}"

    def ask(self, person: Person | None = None) -> Reply:
        return (person or self.person).post(f"{self.path}/challenge")

    def code(self) -> str:
        """The code of the last message that came."""
        parts = self.person.service.parts
        send_due(self.person.service.db, parts.settings, parts.sealer, parts.webhooks)
        sms = self.receiver.of("sms")[-1].payload["sms"]
        assert (sms["phone"], sms["channel"]) == (NUMBER, "sms")
        return str(sms["otp"])

    def answer(self, asked: Reply, code: str, person: Person | None = None) -> Reply:
        asking = person or self.person
        return asking.keep(asking.post(f"{self.path}/verify", {"challenge_id": asked["id"], "code": code}))


@pytest.fixture
def mobile(alice: Person, receiver: HookReceiver) -> Mobile:
    return Mobile(alice, receiver)


def _other_than(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_a_code_by_sms_makes_the_session_aal2(alice: Person, mobile: Mobile) -> None:
    assert (mobile.enrolled["type"], mobile.enrolled["phone"]) == ("phone", NUMBER)
    asked = mobile.ask()
    assert asked["type"] == "phone"
    assert mobile.answer(asked, mobile.code()).status == 200
    claims = claims_of(alice.session["access_token"])
    assert (claims["aal"], claims["amr"][0]["method"]) == ("aal2", "mfa/phone")
    assert alice.get("/user")["factors"][0]["status"] == "verified"


def test_a_code_is_good_for_its_challenge_once(service: Service, mobile: Mobile) -> None:
    first = mobile.ask()
    old = mobile.code()
    asked = mobile.ask()
    new = mobile.code()
    assert mobile.answer(first, old).code == "mfa_factor_not_found", "a newer challenge voids it"
    if old != new:
        assert mobile.answer(asked, old).code == "mfa_verification_failed"
    replies = at_once(lambda _: mobile.answer(asked, new))
    assert sorted(reply.status for reply in replies) == [200] + [422] * 19


def test_the_code_is_kept_as_a_keyed_hash_only(service: Service, mobile: Mobile) -> None:
    mobile.ask()
    code = mobile.code()
    (row,) = service.rows("SELECT code_hash FROM factor_challenges")
    assert len(bytes(row["code_hash"])) == 32 and code.encode() not in bytes(row["code_hash"])


def test_guesses_are_bounded(make_service: Make, receiver: HookReceiver) -> None:
    service = make_service(
        hook_send_sms_url=receiver.url("sms"), hook_secrets=receiver.secret, mail_interval_s=0, wrong_codes_per_day=6
    )
    alice = service.member("alice")
    mobile = Mobile(alice, receiver)
    asked = mobile.ask()
    code = mobile.code()
    replies = at_once(lambda _: mobile.answer(asked, _other_than(code)), 10)
    assert sorted(reply.status for reply in replies) == [422] * 6 + [429] * 4
    assert mobile.answer(asked, code).status == 429
    assert service.mails_to(alice.email)[-1]["template"] == "codes_guessed"


def test_a_user_gets_so_many_messages_a_day_whatever_factors_they_make(alice: Person, mobile: Mobile) -> None:
    statuses = []
    for _ in range(12):
        statuses.append(mobile.ask().status)
        alice.delete(mobile.path)
        mobile = Mobile(alice, mobile.receiver)
    assert statuses == [200] * 10 + [429] * 2
    assert mobile.ask().code == "over_sms_send_rate_limit"


def test_a_message_goes_once_in_an_interval_also_at_once(make_service: Make, receiver: HookReceiver) -> None:
    service = make_service(hook_send_sms_url=receiver.url("sms"), hook_secrets=receiver.secret, mail_interval_s=60)
    mobile = Mobile(service.member("alice"), receiver)
    replies = at_once(lambda _: mobile.ask(), 8)
    assert sorted(reply.status for reply in replies) == [200] + [429] * 7


def test_a_number_is_a_factor_once_and_may_be_begun_again(service: Service, alice: Person, mobile: Mobile) -> None:
    again = Mobile(alice, mobile.receiver)
    assert again.enrolled["id"] != mobile.enrolled["id"]
    assert again.answer(again.ask(), again.code()).status == 200
    twice = alice.post("/factors", BODY | {"friendly_name": "the same"})
    assert (twice.status, twice.code) == (422, "mfa_verified_factor_exists")
    assert alice.post("/factors", {"factor_type": "phone"}).code == "validation_failed"


def test_without_the_hook_a_factor_there_is_asks_for_nothing(
    make_service: Make, service: Service, alice: Person, mobile: Mobile
) -> None:
    url = service.parts.settings.database_url.get_secret_value()
    bare = make_service(database_url=url, secret_keys=service.parts.settings.secret_keys.get_secret_value())
    reply = bare.post(f"{mobile.path}/challenge", headers=alice.headers)
    assert (reply.status, reply.code) == (422, "mfa_phone_verify_not_enabled")
