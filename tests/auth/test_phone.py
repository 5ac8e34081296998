"""Phone numbers: sign-up, log-in by code and by password, change; codes go through the send-SMS hook."""

from collections.abc import Iterator
from typing import Any

import pytest

from services.auth import store
from services.auth.hook_sender import send_due
from tests.auth.conftest import Make, Reply, Service, at_once, claims_of
from tests.support.hooks import HookReceiver

PASSWORD = "correct horse battery staple"
NUMBER, OTHER = "4915112345678", "4915187654321"


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    made = HookReceiver()
    yield made
    made.close()


class Carrier:
    """Sends what is due and keeps the last code that went to a number."""

    def __init__(self, service: Service, receiver: HookReceiver) -> None:
        self.service, self.receiver = service, receiver

    def texts(self, number: str) -> list[dict[str, Any]]:
        parts = self.service.parts
        send_due(self.service.db, parts.settings, parts.sealer, parts.webhooks)
        return [call.payload["sms"] for call in self.receiver.of("sms") if call.payload["user"]["phone"] == number]

    def code(self, number: str) -> str:
        return str(self.texts(number)[-1]["otp"])

    def verify(self, number: str, type: str = "sms", token: str | None = None) -> Reply:
        body = {"type": type, "phone": f"+{number}", "token": token or self.code(number)}
        return self.service.post("/verify", body)


@pytest.fixture
def service(make_service: Make, receiver: HookReceiver) -> Service:
    return make_service(
        hook_send_sms_url=receiver.url("sms"), hook_secrets=receiver.secret, mail_interval_s=0, guests=True
    )


@pytest.fixture
def carrier(service: Service, receiver: HookReceiver) -> Carrier:
    return Carrier(service, receiver)


def _log_in(service: Service, password: str = PASSWORD, number: str = NUMBER) -> Reply:
    return service.post("/token?grant_type=password", {"phone": number, "password": password})


def _sign_up(service: Service, password: str = PASSWORD, **more: Any) -> Reply:
    return service.post("/signup", {"phone": f"+{NUMBER}", "password": password, **more})


def test_a_number_signs_up_is_confirmed_by_its_code_and_logs_in(service: Service, carrier: Carrier) -> None:
    reply = _sign_up(service, data={"name": "Alice"}, channel="whatsapp")
    assert (reply.status, reply["phone"], reply["email"]) == (200, NUMBER, "")
    assert _log_in(service).code == "phone_not_confirmed"
    assert carrier.texts(NUMBER)[0]["channel"] == "whatsapp"
    session = carrier.verify(NUMBER)
    assert (session.status, session["user"]["id"]) == (200, reply["id"])
    assert session["user"]["phone_confirmed_at"] is not None
    assert session["user"]["app_metadata"]["providers"] == ["phone"]
    assert session["user"]["user_metadata"] == {"name": "Alice"}
    assert _log_in(service).status == 200
    assert _log_in(service, "wrong password").code == "invalid_credentials"
    (event,) = service.events("user.registered")
    assert event.data["email"] is None


def test_a_code_logs_in_and_an_unknown_number_becomes_a_user(service: Service, carrier: Carrier) -> None:
    assert service.post("/otp", {"phone": NUMBER}).json == {}
    first = carrier.verify(NUMBER)
    assert service.post("/otp", {"phone": f"+{NUMBER}"}).status == 200
    again = carrier.verify(NUMBER)
    assert first["user"]["id"] == again["user"]["id"]
    assert claims_of(again["access_token"])["amr"][0]["method"] == "otp"


def test_known_and_unknown_numbers_get_one_answer(service: Service, carrier: Carrier) -> None:
    _sign_up(service)
    carrier.verify(NUMBER)
    replies = [service.post("/otp", {"phone": number, "create_user": False}) for number in (NUMBER, OTHER)]
    replies += [service.post("/resend", {"phone": number, "type": "sms"}) for number in (NUMBER, OTHER)]
    assert [(reply.status, reply.json) for reply in replies] == [(200, {})] * 4
    taken, free = _sign_up(service), service.post("/signup", {"phone": OTHER, "password": PASSWORD})
    assert list(taken.json) == list(free.json) and taken.status == free.status == 200
    assert len(carrier.texts(NUMBER)) == 2, "the sign-up's and the log-in's: a sign-up with a taken number sends none"


def test_whoever_signed_up_with_a_strangers_number_gains_nothing_when_its_owner_comes(
    service: Service, carrier: Carrier
) -> None:
    _sign_up(service, "the password of mallory", data={"name": "Mallory"})
    service.post("/otp", {"phone": NUMBER})
    assert carrier.verify(NUMBER)["user"]["user_metadata"] == {}
    assert _log_in(service, "the password of mallory").code == "invalid_credentials"


def test_of_sign_ups_with_different_passwords_none_counts_and_one_sent_again_is_a_retry(
    service: Service, carrier: Carrier
) -> None:
    _sign_up(service)
    _sign_up(service)
    assert carrier.verify(NUMBER).status == 200
    assert _log_in(service).status == 200
    service.post("/signup", {"phone": OTHER, "password": "the password of mallory"})
    service.post("/signup", {"phone": OTHER, "password": PASSWORD})
    assert carrier.verify(OTHER).status == 200
    for password in (PASSWORD, "the password of mallory"):
        assert _log_in(service, password, OTHER).code == "invalid_credentials"


def test_a_number_changes_when_the_new_one_has_agreed(service: Service, carrier: Carrier) -> None:
    alice = service.member("alice")
    reply = alice.change(phone=f"+{NUMBER}")
    assert (reply.status, reply["phone"], reply["new_phone"]) == (200, "", NUMBER)
    assert carrier.verify(NUMBER, "sms").code == "otp_expired", "a code of one kind is of no use for another"
    changed = carrier.verify(NUMBER, "phone_change")
    assert (changed["user"]["phone"], changed["user"]["new_phone"]) == (NUMBER, None)
    assert sorted(changed["user"]["app_metadata"]["providers"]) == ["email", "phone"]
    assert _log_in(service, alice.password).status == 200
    bob = service.member("bob")
    assert (bob.change(phone=NUMBER).status, bob.change(phone=NUMBER).code) == (422, "phone_exists")


def test_a_guest_with_a_number_is_none_any_more(service: Service, carrier: Carrier) -> None:
    guest = service.guest("alice")
    assert guest.change(phone=NUMBER, password=PASSWORD).status == 200
    assert carrier.verify(NUMBER, "phone_change")["user"]["is_anonymous"] is False
    assert _log_in(service)["user"]["id"] == guest.user_id


def test_the_code_of_a_change_comes_again_on_request(service: Service, carrier: Carrier) -> None:
    alice = service.member("alice")
    alice.change(phone=NUMBER)
    assert service.post("/resend", {"type": "phone_change", "phone": NUMBER}).status == 200
    assert len(carrier.texts(NUMBER)) == 2
    assert carrier.verify(NUMBER, "phone_change").status == 200


def test_a_nonce_goes_to_the_number_where_there_is_no_address(make_service: Make, receiver: HookReceiver) -> None:
    service = make_service(
        hook_send_sms_url=receiver.url("sms"), hook_secrets=receiver.secret, password_reauthentication=True
    )
    carrier = Carrier(service, receiver)
    _sign_up(service)
    person = service.person("nobody")
    person.keep(carrier.verify(NUMBER))
    service.rows("UPDATE sessions SET created_at = now() - interval '2 days'")
    assert person.get("/reauthenticate").status == 200
    assert person.change(password="a new password", nonce=carrier.code(NUMBER)).status == 200


def test_five_wrong_guesses_void_the_code(service: Service, carrier: Carrier) -> None:
    _sign_up(service)
    code = carrier.code(NUMBER)
    wrong = "000000" if code != "000000" else "000001"
    for _ in range(5):
        assert carrier.verify(NUMBER, token=wrong).code == "otp_expired"
    assert carrier.verify(NUMBER, token=code).code == "otp_expired"


@pytest.mark.parametrize("type", ["sms", "phone_change"])
def test_of_twenty_tries_with_one_code_at_once_one_wins(service: Service, carrier: Carrier, type: str) -> None:
    if type == "sms":
        _sign_up(service)
    else:
        service.member("alice").change(phone=NUMBER)
    code = carrier.code(NUMBER)
    replies = at_once(lambda _: carrier.verify(NUMBER, type, code))
    assert sorted(reply.status for reply in replies) == [200] + [403] * 19


def test_one_text_an_interval(make_service: Make, receiver: HookReceiver) -> None:
    service = make_service(hook_send_sms_url=receiver.url("sms"), hook_secrets=receiver.secret)
    carrier = Carrier(service, receiver)
    for _ in range(3):
        assert service.post("/otp", {"phone": NUMBER}).status == 200
    assert len(carrier.texts(NUMBER)) == 1
    alice = service.member("alice")
    assert alice.change(phone=OTHER).status == 200
    again = alice.change(phone="4915100000000")
    assert (again.status, again.code) == (429, "over_sms_send_rate_limit")


def test_without_a_hook_there_are_no_numbers(make_service: Make) -> None:
    service = make_service()
    alice = service.member("alice")
    replies = [
        _sign_up(service),
        service.post("/otp", {"phone": NUMBER}),
        service.post("/resend", {"phone": NUMBER, "type": "sms"}),
        alice.change(phone=NUMBER),
    ]
    assert {(reply.status, reply.code) for reply in replies} == {(400, "phone_provider_disabled")}
    assert len(service.rows("SELECT 1 FROM users")) == 1


@pytest.mark.parametrize("number", ["", "0151", "+0123456789", "12345678901234567", "+49 151 abc", "+49;drop"])
def test_what_is_no_number_is_refused(service: Service, number: str) -> None:
    reply = service.post("/otp", {"phone": number})
    assert (reply.status, reply["errors"][0]["pointer"]) == (400, "#/phone")


def test_either_an_address_or_a_number(service: Service) -> None:
    assert service.post("/otp", {"phone": NUMBER, "email": "a@example.com"}).code == "validation_failed"
    assert service.post("/otp", {})["errors"][0]["pointer"] == "#/email"


def test_a_test_number_has_a_fixed_code_and_gets_no_text(make_service: Make, receiver: HookReceiver) -> None:
    service = make_service(
        hook_send_sms_url=receiver.url("sms"), hook_secrets=receiver.secret, test_codes=f"+{NUMBER}=131313"
    )
    carrier = Carrier(service, receiver)
    service.post("/otp", {"phone": NUMBER})
    assert carrier.texts(NUMBER) == []
    assert carrier.verify(NUMBER, token="131313").status == 200


def test_a_test_number_needs_no_hook_and_others_still_do(make_service: Make) -> None:
    service = make_service(test_codes=f"+{NUMBER}=131313")
    assert service.get("/settings")["external"]["phone"] is True
    assert service.post("/otp", {"phone": OTHER}).code == "phone_provider_disabled"
    factor = {"factor_type": "phone", "phone": OTHER}
    assert service.member("alice").post("/factors", factor).code == "mfa_phone_enroll_not_enabled"
    service.post("/otp", {"phone": NUMBER})
    assert service.post("/verify", {"type": "sms", "phone": NUMBER, "token": "131313"}).status == 200


@pytest.mark.parametrize("kind", ["sms", "phone_change"])
def test_looking_for_a_number_does_not_read_all_users(service: Service, kind: str) -> None:
    service.rows(
        "INSERT INTO users (id, phone, new_phone) SELECT gen_random_uuid(), n::text, (n + 90000)::text"
        " FROM generate_series(10000, 20000) AS n"
    )
    service.as_owner("ANALYZE users")
    with service.db.transaction() as conn:
        asked: list[str] = []
        explained = _Explained(conn, asked)
        store.lock_user_for_sms(explained, "15000", kind, interval_s=60, per_day=10)  # type: ignore[arg-type]
    assert "Seq Scan on users" not in asked[0] and "users_phone" in asked[0]


class _Explained:
    """A connection that asks for the plan of what it is given."""

    def __init__(self, conn: Any, plans: list[str]) -> None:
        self._conn, self._plans = conn, plans

    def cursor(self, **kind: Any) -> Any:
        cursor = self._conn.cursor(**kind)
        execute = cursor.execute

        class Cursor:
            def __enter__(inner) -> Any:
                return inner

            def __exit__(inner, *_: object) -> None:
                cursor.close()

            def execute(inner, sql: str, params: Any = None) -> None:
                execute("EXPLAIN " + sql, params)
                self._plans.append("\n".join(map(str, cursor.fetchall())))

            def fetchone(inner) -> None:
                return None

        return Cursor()


HOME, ELSEWHERE = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "198.51.100.1"}


def _order(service: Service, place: dict[str, str], number: str = NUMBER) -> int:
    return service.post("/otp", {"phone": number}, place).status


def _answer(service: Service, place: dict[str, str], token: str) -> Reply:
    return service.post("/verify", {"type": "sms", "phone": NUMBER, "token": token}, place)


@pytest.fixture
def bounded(make_service: Make, receiver: HookReceiver) -> Service:
    return make_service(
        hook_send_sms_url=receiver.url("sms"),
        hook_secrets=receiver.secret,
        mail_interval_s=0,
        sms_per_number=4,
        sms_per_block=8,
        wrong_codes_per_day=5,
    )


def test_no_stranger_keeps_the_owner_of_a_number_out_where_they_were_before(
    bounded: Service, receiver: HookReceiver
) -> None:
    carrier = Carrier(bounded, receiver)
    assert _order(bounded, HOME) == 200
    assert _answer(bounded, HOME, carrier.code(NUMBER)).status == 200
    assert _order(bounded, ELSEWHERE) == 200
    right = carrier.code(NUMBER)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    assert [_answer(bounded, ELSEWHERE, wrong).code for _ in range(5)] == ["otp_expired"] * 5
    assert [_order(bounded, ELSEWHERE) for _ in range(4)] == [200, 200, 429, 429], "the number's own cap"
    assert _answer(bounded, ELSEWHERE, carrier.code(NUMBER)).code == "otp_expired", "elsewhere no code is taken today"
    assert _order(bounded, HOME) == 200
    assert _answer(bounded, HOME, carrier.code(NUMBER)).status == 200


def test_wrong_codes_and_orders_are_bounded_where_the_owner_was_too(bounded: Service, receiver: HookReceiver) -> None:
    carrier = Carrier(bounded, receiver)
    assert _order(bounded, HOME) == 200
    assert _answer(bounded, HOME, carrier.code(NUMBER)).status == 200
    assert [_order(bounded, HOME) for _ in range(5)] == [200] * 4 + [429]
    wrong = f"{(int(carrier.code(NUMBER)) + 1) % 1_000_000:06d}"
    codes = [_answer(bounded, HOME, wrong).code for _ in range(6)]
    assert codes == ["otp_expired"] * 5 + ["over_request_rate_limit"]
