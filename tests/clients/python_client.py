"""`supabase-auth` from PyPI, unchanged, does what this service offers it, through the gateway of a running platform.

usage: python -m tests.clients.python_client GATEWAY_URL SIMULATORS_URL
"""

import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import pyotp
import requests
from supabase_auth import SyncGoTrueAdminAPI, SyncGoTrueClient
from supabase_auth.errors import AuthApiError

from tests.support.waiting import eventually

GATEWAY, SIMULATORS = sys.argv[1:3]
URL = f"{GATEWAY}/auth/v1"
PASSWORD = str(uuid.uuid4())
read: dict[str, int] = {}


def phone() -> SyncGoTrueClient:
    return SyncGoTrueClient(url=URL, headers={}, auto_refresh_token=False)


def address(name: str) -> str:
    return f"{name}.{uuid.uuid4().hex[:8]}@example.org"


def code(email: str) -> str:
    """The code of the newest mail to an address that was not read yet."""

    def unread() -> list[Any]:
        asked = requests.get(f"{SIMULATORS}/api/messages", params={"channel": "smtp", "to": email}, timeout=5)
        return [item for item in asked.json()["items"] if item["id"] > read.get(email, 0)]

    item = eventually(unread)[0]
    read[email] = item["id"]
    return re.findall(r"\b\d{6}\b", item["mail"]["text"])[0]


def member(name: str) -> tuple[str, SyncGoTrueClient]:
    email, client = address(name), phone()
    client.sign_up({"email": email, "password": PASSWORD, "options": {"data": {"name": name}}})
    client.verify_otp({"type": "signup", "email": email, "token": code(email)})
    return email, client


def administrator() -> SyncGoTrueAdminAPI:
    """An operator's client with the token of an administrator who was made at the command line."""
    email, client = member("root")
    run = [sys.executable, "-m", "deploy.local", "run", "auth", sys.executable, "-m", "services.auth"]
    subprocess.run([*run, "admin", "grant", email], check=True)
    token = client.refresh_session().session.access_token
    return SyncGoTrueAdminAPI(url=URL, headers={"Authorization": f"Bearer {token}"})


def refused(call: Callable[[], Any]) -> str | None:
    """The code of the error that a call raises."""
    try:
        call()
    except AuthApiError as error:
        return error.code
    raise AssertionError("was not refused")


def a_person_signs_up_logs_in_changes_and_logs_out() -> None:
    email, client = member("alice")
    assert client.get_user().user.email == client.get_session().user.email == email
    assert client.refresh_session().session.access_token
    assert client.get_claims()["claims"]["email"] == email
    session = phone().sign_in_with_password({"email": email, "password": PASSWORD}).session
    other = phone()
    assert other.set_session(session.access_token, session.refresh_token).user.email == email
    assert client.update_user({"data": {"colour": "blue"}}).user.user_metadata["colour"] == "blue"
    assert [one.provider for one in client.get_user_identities().identities] == ["email"]
    client.reauthenticate()
    client.sign_out()
    assert refused(other.refresh_session) == "session_not_found"


def codes_of_mails_log_in() -> None:
    email, _ = member("bob")
    for kind in ("email", "recovery"):
        client = phone()
        if kind == "email":
            client.sign_in_with_otp({"email": email})
        else:
            client.reset_password_for_email(email, {})
        assert client.verify_otp({"type": kind, "email": email, "token": code(email)}).user.email == email
    phone().resend({"type": "signup", "email": address("nobody")})
    assert phone().sign_in_anonymously().user.is_anonymous


def second_factors_are_shown_and_removed_by_an_administrator() -> None:
    _, client = member("carol")
    factor = client.mfa.enroll({"factor_type": "totp", "friendly_name": "app"})
    app = pyotp.TOTP(factor.totp.secret)
    challenge = client.mfa.challenge({"factor_id": factor.id})
    client.mfa.verify({"factor_id": factor.id, "challenge_id": challenge.id, "code": app.at(time.time() - 30)})
    client.mfa.challenge_and_verify({"factor_id": factor.id, "code": app.now()})
    assert client.mfa.get_authenticator_assurance_level().current_level == "aal2"
    assert [one.id for one in client.mfa.list_factors().totp] == [factor.id]
    admin, user_id = administrator(), client.get_user().user.id
    assert [one.id for one in admin.mfa.list_factors({"user_id": user_id})] == [factor.id]
    admin.mfa.delete_factor({"user_id": user_id, "id": factor.id})
    assert admin.mfa.list_factors({"user_id": user_id}) == []


def an_administrator_makes_changes_invites_and_deletes() -> None:
    admin, email = administrator(), address("trudy")
    attributes = {"email": email, "password": PASSWORD, "email_confirm": True, "app_metadata": {"plan": "pro"}}
    made = admin.create_user(attributes).user
    assert admin.get_user_by_id(made.id).user.email == email
    assert made.id in {one.id for one in admin.list_users(page=1, per_page=50)}
    admin.update_user_by_id(made.id, {"ban_duration": "24h"})
    assert refused(lambda: phone().sign_in_with_password({"email": email, "password": PASSWORD})) == "user_banned"
    admin.update_user_by_id(made.id, {"ban_duration": "none"})
    session = phone().sign_in_with_password({"email": email, "password": PASSWORD}).session
    admin.sign_out(session.access_token, "local")
    assert refused(lambda: phone().refresh_session(session.refresh_token)) == "session_not_found"
    invited = admin.invite_user_by_email(address("ivan"), {"data": {"team": "blue"}}).user
    assert invited.user_metadata == {"team": "blue"}
    admin.delete_user(made.id)
    assert refused(lambda: admin.get_user_by_id(made.id)) == "user_not_found"


def links_of_every_kind_are_generated() -> None:
    admin, (email, _), new = administrator(), member("olivia"), {"new_email": address("olivia")}
    wanted: dict[str, tuple[str, dict[str, str]]] = {
        "signup": (address("sam"), {"password": PASSWORD}),
        "invite": (address("sue"), {}),
        "magiclink": (email, {}),
        "recovery": (email, {}),
        "email_change_current": (email, new),
        "email_change_new": (email, new),
    }
    for kind, (to, more) in wanted.items():
        link = admin.generate_link({"type": kind, "email": to, **more})
        assert (link.properties.verification_type, link.user.email) == (kind, to)
        if (
            more is not new
        ):  # of the first of two addresses that agree this client cannot read the answer, here nor there
            verified = phone().verify_otp({"type": kind, "token_hash": link.properties.hashed_token})
            assert verified.user.email == to


STEPS = (
    a_person_signs_up_logs_in_changes_and_logs_out,
    codes_of_mails_log_in,
    second_factors_are_shown_and_removed_by_an_administrator,
    an_administrator_makes_changes_invites_and_deletes,
    links_of_every_kind_are_generated,
)

if __name__ == "__main__":
    for step in STEPS:
        step()
        print(f"  ✓ {step.__name__.replace('_', ' ')}")
    print(f"supabase-auth: {len(STEPS)} passed")
