"""DELETE /admin/users/{user_id}."""

from tests.auth.conftest import Person, Service


def test_who_is_deleted_is_gone_here_and_every_service_hears_of_it(
    service: Service, root: Person, alice: Person, mallory: Person
) -> None:
    reply = root.administer("DELETE", f"/{alice.user_id}", {"should_soft_delete": False})
    assert (reply.status, reply.json) == (200, {})
    (asked,) = service.events("user.deletion_requested")
    assert (asked.subject, asked.data["reason"]) == (alice.user_id, "deleted_by_admin")
    assert [event.subject for event in service.events("session.revoked")] == [alice.session_id]
    assert alice.get("/user").status == 401
    assert alice.refresh().code == "refresh_token_not_found"
    assert alice.log_in().code == "invalid_credentials"
    assert mallory.get("/user").status == 200
    assert service.deeds(root) == [("user.deleted", alice.user_id)]


def test_a_deletion_that_would_keep_something_is_refused(service: Service, root: Person, alice: Person) -> None:
    assert root.administer("DELETE", f"/{alice.user_id}", {"should_soft_delete": True}).status in (400, 422)
    assert alice.get("/user").status == 200
    assert service.events("user.deletion_requested") == []


def test_older_clients_send_no_body(root: Person, alice: Person) -> None:
    assert root.administer("DELETE", f"/{alice.user_id}").status == 200
    assert alice.refresh().code == "refresh_token_not_found"
