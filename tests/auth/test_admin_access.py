"""Who may call the endpoints of administrators, and the log of what they do."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.auth import roles
from services.auth.tokens import mint_service_token
from tests.auth.conftest import Person, Reply, Service, Start, claims_of, output_of

NOBODY = "01900000-0000-7000-8000-00000000000a"
CALLS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "", {"email": "new@example.com"}),
    ("GET", "/{id}", None),
    ("PUT", "/{id}", {"email_confirm": True}),
    ("DELETE", "/{id}", {"should_soft_delete": False}),
    ("POST", "/{id}/logout", None),
]
each_call = pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=[f"{m} {p or '/'}" for m, p, _ in CALLS])


def _with(service: Service, token: str, method: str, path: str, body: Any) -> Reply:
    headers = {"Authorization": f"Bearer {token}"}
    return service.call(method, f"/admin/users{path.format(id=NOBODY)}", body=body, headers=headers)


def _signed(person: Person, key: Any, **changes: Any) -> str:
    claims = {**claims_of(person.session["access_token"]), **changes}
    kid = jwt.get_unverified_header(person.session["access_token"])["kid"]
    return jwt.encode(claims, key, "ES256", headers={"kid": kid})


@each_call
def test_alice_who_is_no_administrator_may_not(alice: Person, method: str, path: str, body: Any) -> None:
    reply = alice.administer(method, path.format(id=alice.user_id), body)
    assert (reply.status, reply.code) == (403, "insufficient_scope")


@each_call
def test_mallory_who_forges_the_claims_is_not_even_known(
    service: Service, mallory: Person, method: str, path: str, body: Any
) -> None:
    token = _signed(mallory, ec.generate_private_key(ec.SECP256R1()), role="admin", scope="auth:admin")
    reply = _with(service, token, method, path, body)
    assert (reply.status, reply.code) == (401, "token_signature")


@each_call
def test_a_scope_that_came_from_elsewhere_makes_nobody_an_administrator(
    service: Service, alice: Person, method: str, path: str, body: Any
) -> None:
    """A hook may add scopes to tokens that we sign."""
    token = _signed(alice, service.parts.keys.signing_key().private_key, role="admin", scope="auth:admin")
    reply = _with(service, token, method, path, body)
    assert (reply.status, reply.code) == (403, "not_admin")


@each_call
def test_an_administrator_who_is_none_any_more_may_not_with_the_old_token(
    service: Service, root: Person, method: str, path: str, body: Any
) -> None:
    with service.db.transaction() as conn:
        roles.give(conn, root.email, roles.ORDINARY)
    reply = root.administer(method, path.format(id=root.user_id), body)
    assert (reply.status, reply.code) == (403, "not_admin")
    assert service.deeds(root) == []


@each_call
def test_a_service_is_no_administrator(service: Service, method: str, path: str, body: Any) -> None:
    key = service.parts.keys.signing_key()
    token = mint_service_token(service.parts.settings, key, "reports", "auth:admin", 60).token
    reply = _with(service, token, method, path, body)
    assert (reply.status, reply.code) == (401, "session_not_found")


@each_call
def test_an_administrator_with_a_second_factor_must_have_shown_it(
    service: Service, root: Person, method: str, path: str, body: Any
) -> None:
    service.rows(
        """
        INSERT INTO factors (id, user_id, kind, name) VALUES (gen_random_uuid(), %(id)s, 'totp', 'Phone')
        """,
        id=root.user_id,
    )
    reply = root.administer(method, path.format(id=root.user_id), body)
    assert (reply.status, reply.code) == (403, "insufficient_aal")


@pytest.mark.parametrize(("method", "path", "body"), [call for call in CALLS if "{id}" in call[1]])
def test_somebody_there_is_not_cannot_be_administered(root: Person, method: str, path: str, body: Any) -> None:
    reply = root.administer(method, path.format(id=NOBODY), body)
    assert (reply.status, reply.code) == (404, "user_not_found")


def test_the_command_makes_an_administrator_and_takes_it_back(service: Service, start: Start, alice: Person) -> None:
    settings = service.parts.settings
    assert output_of(start(settings, "admin", "grant", alice.email)) == (0, "", "")
    assert alice.administer("GET").status == 403
    alice.refresh()
    claims = claims_of(alice.session["access_token"])
    assert (claims["role"], claims["scope"]) == ("admin", "auth:admin")
    assert alice.administer("GET").status == 200
    assert output_of(start(settings, "admin", "revoke", alice.email)) == (0, "", "")
    assert alice.administer("GET").code == "not_admin"
    alice.refresh()
    assert alice.administer("GET").code == "insufficient_scope"
    sql = "SELECT action, actor FROM audit_log WHERE subject = %(id)s ORDER BY id"
    logged = [(row["action"], row["actor"]) for row in service.rows(sql, id=alice.user_id)]
    assert logged == [("admin.granted", None), ("admin.revoked", None)]


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
        FROM audit_log WHERE actor = %(actor)s
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
