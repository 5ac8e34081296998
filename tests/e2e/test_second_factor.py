"""A second factor through the gateway: what it guards, what it ends, and the mail about it."""

import pyotp

from tests.support.platform import Platform
from tests.support.signed_up import PASSWORD, SignedUp
from tests.support.waiting import eventually


def test_whoever_has_a_second_factor_needs_it_for_a_new_password(platform: Platform) -> None:
    alice = SignedUp(platform)
    tablet = alice.log_in()
    factor = alice.call("POST", "/auth/v1/factors", {"factor_type": "totp", "friendly_name": "app"})
    path, app = f"/auth/v1/factors/{factor['id']}", pyotp.TOTP(factor["totp"]["secret"])
    challenge = alice.call("POST", f"{path}/challenge")
    body = {"challenge_id": challenge["id"], "code": app.now()}
    alice.session = alice.call("POST", f"{path}/verify", body)

    ended = eventually(lambda: alice.call("GET", "/auth/v1/user", session=tablet).get("code"), what="an ended session")
    assert ended in ("session_revoked", "session_not_found"), "the gateway, or auth where the event is on its way"
    thief, new = alice.log_in(), {"password": f"{PASSWORD} and more"}
    for method, guarded, sent in (("PUT", "/auth/v1/user", new), ("DELETE", path, None)):
        assert alice.call(method, guarded, sent, session=thief)["error_code"] == "insufficient_aal"
    assert alice.call("PUT", "/auth/v1/user", new)["email"] == alice.email
    subjects = eventually(lambda: [mail["subject"] for mail in alice.mails() if "second factor" in mail["subject"]])
    assert subjects == ["A second factor was added to your account"]
