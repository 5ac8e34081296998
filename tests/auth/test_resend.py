"""POST /resend."""

from tests.auth.conftest import Make, Service


def test_a_new_mail_voids_the_older_one(make_service: Make) -> None:
    service = make_service(mail_interval_s=0)
    alice = service.person("alice")
    alice.sign_up()
    stale = service.mail_to(alice.email)
    reply = service.post("/resend", {"type": "signup", "email": "ALICE@example.com"})
    assert (reply.status, reply.json) == (200, {})
    assert len(service.mails_to(alice.email)) == 2
    assert service.post("/verify", {"type": "signup", "token_hash": stale["token_hash"]}).code == "otp_expired"
    assert alice.confirm().status == 200


def test_one_mail_an_interval(service: Service) -> None:
    alice = service.person("alice")
    alice.sign_up()
    body = {"type": "signup", "email": alice.email}
    assert service.post("/resend", body).status == 200
    assert len(service.mails_to(alice.email)) == 1
    service.rows("UPDATE users SET confirmation_sent_at = now() - interval '61 seconds'")
    for _ in range(3):
        assert service.post("/resend", body).status == 200
    assert len(service.mails_to(alice.email)) == 2


def test_confirmed_and_unknown_addresses_get_no_mail_and_the_same_answer(make_service: Make) -> None:
    service = make_service(mail_interval_s=0)
    alice = service.member("alice")
    before = len(service.events("message.requested"))
    replies = [service.post("/resend", {"type": "signup", "email": email}) for email in (alice.email, "no@example.com")]
    assert [(reply.status, reply.json) for reply in replies] == [(200, {})] * 2
    assert len(service.events("message.requested")) == before
