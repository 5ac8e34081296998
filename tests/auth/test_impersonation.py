"""POST /admin/users/{user_id}/impersonate, and what the session that comes of it may do."""

import re
from typing import Any

import pytest

from services.auth import roles
from services.auth.impersonated import MAY
from services.auth.scopes import ADMIN, ADMIN_SCOPE
from services.auth.tokens import decode_refresh_token
from services.auth.worker import clean_up
from shared.app import OWN_ROUTES
from shared.routing import Access
from tests.auth.conftest import ROOT, Make, Person, Reply, Service, at_once, claims_of, signed

PACKAGE = ROOT / "services" / "auth"
REASON = "Ticket 4711: cannot see the invoice."


def _impersonate(root: Person, person: Person, **members: Any) -> Reply:
    return root.administer("POST", f"/{person.user_id}/impersonate", {"reason": REASON, **members})


def _as(root: Person, person: Person, **members: Any) -> Person:
    """The person, as the administrator who acts for them is."""
    acting = Person(person.service, person.email)
    assert acting.keep(_impersonate(root, person, **members)).status == 200
    return acting


def _log(person: Person, action: str) -> list[dict[str, Any]]:
    """What the audit log says was done to a person."""
    sql = """
        SELECT actor::text, session_id::text, details FROM audit_log
        WHERE action = %(action)s AND subject = %(id)s ORDER BY id
    """
    return person.service.rows(sql, action=action, id=person.user_id)


def test_the_token_says_who_is_meant_and_who_acts_and_is_no_administrators(root: Person, alice: Person) -> None:
    acting = _as(root, alice)
    claims = claims_of(acting.session["access_token"])
    assert (claims["sub"], claims["act"]) == (alice.user_id, {"sub": root.user_id})
    assert (claims["role"], claims["scope"], claims["aal"]) == ("authenticated", "", "aal1")
    assert [one["method"] for one in claims["amr"]] == ["impersonation"]
    assert acting.get("/user")["email"] == alice.email
    assert "act" not in claims_of(alice.session["access_token"])


def test_of_all_that_a_person_may_do_whoever_acts_for_them_may_do_three_things(
    service: Service, root: Person, alice: Person
) -> None:
    """Every endpoint that asks for a token, whichever there are: one that nobody thought of is closed, and so is what
    the scope of administrators would open."""
    acting, answered, open_ = _as(root, alice), 0, []
    token = signed(acting, service.parts.keys.signing_key().private_key, role="admin", scope=ADMIN_SCOPE)
    for rule in service.app.url_map.iter_rules():
        access: Access | None = getattr(service.app.view_functions[rule.endpoint], "access", None)
        if rule.endpoint in OWN_ROUTES or access is None or access.kind != "user":
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if rule.endpoint == "sessions.log_out":
                continue  # it would end the session
            path = re.sub(r"<\w+>", alice.session_id, rule.rule.removeprefix("/auth/v1"))
            reply = service.call(method, path, body={}, headers={"Authorization": f"Bearer {token}"})
            answered += 1
            if (reply.status, reply.code) != (403, "impersonated"):
                open_.append(rule.endpoint)
    assert sorted(open_) == sorted(MAY - {"sessions.log_out"})
    assert answered >= 40
    assert alice.get("/user").status == 200, "nothing of it did anything"


def test_a_token_with_the_scope_of_administrators_is_none_as_long_as_somebody_acts(
    service: Service, root: Person, alice: Person
) -> None:
    """Who becomes an administrator meanwhile is rid of whoever acts for them."""
    acting = _as(root, alice)
    with service.db.transaction() as conn:
        roles.grant(conn, roles.find_by_address(conn, alice.email), ADMIN)
    assert acting.refresh().code == "session_not_found"
    assert alice.refresh().status == 200
    assert acting.get("/user").code == "session_not_found"


def test_it_is_not_made_longer(service: Service, root: Person, alice: Person) -> None:
    acting = _as(root, alice, lifetime_s=100)
    claims = claims_of(acting.session["access_token"])
    assert claims["exp"] - claims["iat"] == acting.session["expires_in"] <= 100
    service.rows("UPDATE sessions SET not_after = now() + interval '30 s' WHERE id = %(id)s", id=acting.session_id)
    assert acting.refresh()["expires_in"] <= 30
    service.rows("UPDATE sessions SET not_after = now() WHERE id = %(id)s", id=acting.session_id)
    assert acting.refresh().code == "session_expired"
    assert alice.refresh().status == 200


def test_an_hour_is_the_most_and_there_is_a_reason(service: Service, root: Person, alice: Person) -> None:
    for wrong in ({"lifetime_s": 3601}, {"lifetime_s": 0}, {"reason": ""}, {"reason": "  \n"}, {"reason": "x" * 201}):
        assert _impersonate(root, alice, **wrong).code == "validation_failed"
    assert root.administer("POST", f"/{alice.user_id}/impersonate", {}).code == "validation_failed"
    assert service.deeds(root) == []


def test_the_log_has_the_reason_at_the_start_and_at_the_end_and_names_who_acted(root: Person, alice: Person) -> None:
    acting = _as(root, alice)
    session_id = acting.session_id
    (started,) = _log(alice, "impersonation.started")
    assert (started["actor"], started["session_id"]) == (root.user_id, root.session_id)
    assert started["details"] == {"opened": session_id, "reason": REASON}
    assert acting.post("/logout").status == 204
    (ended,) = _log(alice, "impersonation.ended")
    assert (ended["actor"], ended["session_id"]) == (root.user_id, session_id)
    assert ended["details"] == {"by": root.user_id, "reason": REASON, "ended": "logout"}


def test_the_person_sees_it_in_their_list_and_ends_it(root: Person, alice: Person) -> None:
    acting = _as(root, alice)
    items = {item["id"]: item for item in alice.get("/sessions")["items"]}
    shown = items[acting.session_id]
    assert (shown["is_impersonated"], shown["device_name"], bool(shown["not_after"])) == (True, "Administrator", True)
    assert (items[alice.session_id]["is_impersonated"], items[alice.session_id]["not_after"]) == (False, None)
    assert root.user_id not in alice.get("/sessions").text
    assert alice.delete(f"/sessions/{acting.session_id}").status == 204
    assert acting.get("/user").code == "session_not_found"
    assert [row["actor"] for row in _log(alice, "impersonation.ended")] == [alice.user_id]


@pytest.mark.parametrize("scope", ["global", "others", "local"])
def test_logging_out_ends_no_session_of_the_person(root: Person, alice: Person, scope: str) -> None:
    acting = _as(root, alice)
    assert acting.post(f"/logout?scope={scope}").status == 204
    assert acting.get("/user").code == "session_not_found"
    assert alice.get("/user").status == 200


def test_it_ends_with_the_session_that_it_was_opened_from(service: Service, root: Person, alice: Person) -> None:
    acting = _as(root, alice)
    elsewhere = Person(service, root.email)
    elsewhere.log_in()
    still = _as(elsewhere, alice)
    root.post("/logout?scope=local")
    assert acting.get("/user").code == "session_not_found"
    assert still.get("/user").status == 200
    with service.db.transaction() as conn:
        roles.revoke(conn, roles.find_by_address(conn, root.email), ADMIN)
    assert still.get("/user").code == "session_not_found"
    told = {event.subject: event.data["user_id"] for event in service.events("session.revoked")}
    assert told[still.session_id] == alice.user_id, "the gateway hears of it"
    assert len(_log(alice, "impersonation.ended")) == 2


def test_when_its_time_is_over_the_worker_notes_the_end(service: Service, root: Person, alice: Person) -> None:
    acting = _as(root, alice)
    service.rows("UPDATE sessions SET not_after = now() WHERE id = %(id)s", id=acting.session_id)
    clean_up(service.db, service.parts.settings)
    (ended,) = _log(alice, "impersonation.ended")
    assert (ended["actor"], ended["details"]["ended"]) == (None, "expired")
    assert alice.get("/user").status == 200


def test_administrators_are_nobodys_to_act_for_and_neither_is_who_is_banned(
    service: Service, root: Person, alice: Person
) -> None:
    other = service.administrator("toor")
    for person in (other, root):
        reply = _impersonate(root, person)
        assert (reply.status, reply.code) == (403, "admin_protected")
    root.administer("PUT", f"/{alice.user_id}", {"ban_duration": "1h"})
    assert _impersonate(root, alice).code == "user_banned"
    assert _log(alice, "impersonation.started") == []


def test_whoever_loses_the_role_at_that_very_moment_keeps_nothing_open(
    service: Service, root: Person, alice: Person
) -> None:
    def act(number: int) -> int:
        if number != 5:
            return _impersonate(root, alice).status
        with service.db.transaction() as conn:
            roles.revoke(conn, roles.find_by_address(conn, root.email), ADMIN)
        return 0

    statuses = at_once(act, 12)
    assert set(statuses) <= {0, 200, 401, 403}
    sql = "SELECT 1 FROM sessions WHERE impersonated_by = %(id)s AND ended_at IS NULL"
    assert service.rows(sql, id=root.user_id) == []
    assert len(_log(alice, "impersonation.started")) == len(_log(alice, "impersonation.ended")) == statuses.count(200)


def test_whatever_verifies_a_token_by_itself_asks_whether_somebody_acts() -> None:
    """Routes that declare who may call pass the gate; these do not, and each has its answer, as a new one must."""
    by_hand = {
        str(file.relative_to(PACKAGE)): "refuse_impersonated()" in text or ".act is not None" in text
        for file in PACKAGE.rglob("*.py")
        if re.search(r"""extensions\["verifier"\](\.verify|$)""", text := file.read_text(), re.MULTILINE)
    }
    # What introspection says of a token is for clients with a secret, and changes nothing.
    assert by_hand == {"external/grants.py": True, "guests.py": True, "oauth/inspection.py": False}


def test_a_guest_is_not_merged_by_who_acts_for_them(make_service: Make) -> None:
    service = make_service(guests=True, sessions_per_user=1)
    root, guest = service.administrator("root"), service.guest("guest")
    acting = _as(root, guest)
    reply = root.post("/merge", {"guest_token": acting.session["access_token"]})
    assert (reply.status, reply.code) == (422, "impersonated")
    assert guest.get("/user").status == 200, "nor does whoever acts take the place of a session"
    assert guest.refresh().status == 200


def test_its_refresh_token_is_nothing_to_a_version_of_the_service_that_knows_no_act(
    service: Service, root: Person, alice: Person
) -> None:
    """It would make an ordinary session of it, in a rollout or after going back."""
    acting = _as(root, alice)
    token = acting.session["refresh_token"]
    assert decode_refresh_token(service.parts.sealer, token) is None
    assert decode_refresh_token(service.parts.sealer, alice.session["refresh_token"]) is not None
    assert "act" in claims_of(acting.refresh()["access_token"])
