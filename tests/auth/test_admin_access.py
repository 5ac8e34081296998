"""Who may call the endpoints of administrators, and the log of what they do."""

import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import REGISTRY

from services.auth import roles
from services.auth.scopes import ADMIN, ADMIN_SCOPE
from services.auth.tokens import mint_service_token
from tests.auth.conftest import Person, Service, Start, claims_of, output_of, signed

NOBODY = "01900000-0000-7000-8000-00000000000a"
# What the operations of administrators that take a body are sent. Every one of the service is called below.
BODIES: dict[str, Any] = {
    "POST /admin/users": {"email": "new@example.com"},
    "PUT /admin/users/<user_id>": {"email_confirm": True},
    "DELETE /admin/users/<user_id>": {"should_soft_delete": False},
    "PUT /admin/users/<user_id>/factors/<factor_id>": {"friendly_name": "Phone"},
    "POST /admin/users/<user_id>/impersonate": {"reason": "They asked for help."},
    "POST /admin/generate_link": {"type": "recovery", "email": "nobody@example.com"},
    "POST /admin/oauth/clients": {"client_name": "App", "redirect_uris": ["https://app.example.org/in"]},
    "POST /invite": {"email": "new@example.com"},
}


def _operations(service: Service) -> list[str]:
    """Every operation that asks for the scope of administrators."""
    views = service.app.view_functions
    return sorted(
        f"{method} {rule.rule.removeprefix('/auth/v1')}"
        for rule in service.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if getattr(getattr(views[rule.endpoint], "access", None), "scope", None) == ADMIN_SCOPE
    )


def _answers(service: Service, token: str, user_id: str = NOBODY) -> set[tuple[int, str | None]]:
    """What each of them answers to this token, about this user."""
    operations, answers = _operations(service), set()
    assert len(operations) >= 24
    for operation in operations:
        method, path = operation.split()
        path = path.replace("<user_id>", user_id).replace("<role>", ADMIN)
        body = BODIES.get(operation, None if "<role>" in operation else {})
        path = re.sub(r"<\w+>", NOBODY, path)
        reply = service.call(method, path, body=body, headers={"Authorization": f"Bearer {token}"})
        answers.add((reply.status, reply.code))
    return answers


def test_alice_who_is_no_administrator_may_do_nothing_of_it(service: Service, alice: Person) -> None:
    assert _answers(service, alice.session["access_token"], alice.user_id) == {(403, "insufficient_scope")}


def test_mallory_who_forges_the_claims_is_not_even_known(service: Service, mallory: Person) -> None:
    token = signed(mallory, ec.generate_private_key(ec.SECP256R1()), role="admin", scope="auth:admin")
    assert _answers(service, token) == {(401, "token_signature")}


def test_claims_that_came_from_elsewhere_make_nobody_an_administrator(service: Service, alice: Person) -> None:
    """Whatever got itself signed by us: the row counts."""
    token = signed(alice, service.parts.keys.signing_key().private_key, role="admin", scope="auth:admin")
    assert _answers(service, token) == {(403, "not_admin")}


def test_an_administrator_who_is_none_any_more_may_not_with_the_old_token(service: Service, root: Person) -> None:
    with service.db.transaction() as conn:
        roles.revoke(conn, roles.find_by_address(conn, root.email), ADMIN)
    assert _answers(service, root.session["access_token"], root.user_id) == {(401, "session_not_found")}
    assert service.deeds(root) == []


def test_a_service_is_no_administrator(service: Service) -> None:
    key = service.parts.keys.signing_key()
    token = mint_service_token(service.parts.settings, key, "reports", "auth:admin", 60).token
    assert _answers(service, token) == {(401, "session_not_found")}


def test_an_administrator_with_a_second_factor_must_have_shown_it(service: Service, root: Person) -> None:
    service.rows(
        """
        INSERT INTO factors (id, user_id, kind, name) VALUES (gen_random_uuid(), %(id)s, 'totp', 'Phone')
        """,
        id=root.user_id,
    )
    assert _answers(service, root.session["access_token"], root.user_id) == {(403, "insufficient_aal")}


def test_somebody_there_is_not_cannot_be_administered(service: Service, root: Person) -> None:
    operations = [operation.split() for operation in _operations(service) if "<user_id>" in operation]
    for method, path in operations:
        body = BODIES.get(f"{method} {path}", None if "<role>" in path else {})
        filled = re.sub(r"<\w+>", NOBODY, path.replace("<role>", ADMIN))
        reply = service.call(method, filled, body=body, headers=root.headers)
        assert (method, path, reply.status, reply.code) == (method, path, 404, "user_not_found")


def test_a_password_is_not_even_hashed_for_who_is_no_administrator(service: Service, alice: Person) -> None:
    token = signed(alice, service.parts.keys.signing_key().private_key, role="admin", scope="auth:admin")
    before = _hashed()
    for method, path, more in (
        ("POST", "/admin/users", {"email": "new@example.com"}),
        ("PUT", f"/admin/users/{alice.user_id}", {}),
        ("POST", "/admin/generate_link", {"type": "signup", "email": "new@example.com"}),
    ):
        body = {"password": "correct horse battery", **more}
        reply = service.call(method, path, body=body, headers={"Authorization": f"Bearer {token}"})
        assert (reply.status, reply.code) == (403, "not_admin")
    assert _hashed() == before


def _hashed() -> float:
    return REGISTRY.get_sample_value("auth_password_seconds_count", {"stage": "computing"}) or 0


def test_the_command_makes_an_administrator_and_takes_it_back(service: Service, start: Start, alice: Person) -> None:
    settings = service.parts.settings
    assert output_of(start(settings, "admin", "grant", alice.email)) == (0, "", "")
    assert alice.administer("GET").status == 403
    alice.refresh()
    claims = claims_of(alice.session["access_token"])
    assert (claims["role"], claims["scope"]) == ("admin", "auth:admin")
    assert alice.administer("GET").status == 200
    assert output_of(start(settings, "admin", "revoke", alice.email)) == (0, "", "")
    assert alice.administer("GET").code == "session_not_found"
    assert alice.refresh().code == "session_not_found"
    alice.log_in()
    assert alice.administer("GET").code == "insufficient_scope"
    sql = "SELECT action, actor FROM audit_log WHERE subject = %(id)s AND action LIKE 'role.%%' ORDER BY id"
    logged = [(row["action"], row["actor"]) for row in service.rows(sql, id=alice.user_id)]
    assert logged == [("role.granted", None), ("role.revoked", None)]


def test_an_address_that_nobody_confirmed_makes_no_administrator(service: Service, start: Start) -> None:
    service.person("carol").sign_up()
    for email in ("carol@example.com", "nobody@example.com"):
        status, _, err = output_of(start(service.parts.settings, "admin", "grant", email))
        assert (status, err) == (1, "nobody has confirmed this address\n")


def test_the_log_says_who_from_where_and_in_which_session(service: Service, root: Person, alice: Person) -> None:
    assert root.administer("GET", f"/{alice.user_id}").status == 200
    sql = """
        SELECT action, subject::text, host(address) AS address, session_id::text, client, details,
               at <= now() AS has_been
        FROM audit_log WHERE actor = %(actor)s AND action = 'user.read'
    """
    (row,) = service.rows(sql, actor=root.user_id)
    assert row == {
        "action": "user.read",
        "subject": alice.user_id,
        "address": "127.0.0.1",
        "session_id": root.session_id,
        "client": "Unknown device",
        "details": {},
        "has_been": True,
    }


def test_what_fails_leaves_no_row_for_a_deed_that_was_not_done(service: Service, root: Person, alice: Person) -> None:
    with service.without_outbox():
        assert root.administer("DELETE", f"/{alice.user_id}", {"should_soft_delete": False}).status == 500
    assert alice.get("/user").status == 200
    assert service.deeds(root) == []
