"""POST /admin/users/{user_id}/logout."""

from tests.auth.conftest import Person, Service


def test_every_session_of_the_user_ends_and_of_nobody_else(
    service: Service, root: Person, alice: Person, mallory: Person
) -> None:
    second = Person(service, alice.email)
    second.log_in()
    reply = root.administer("POST", f"/{alice.user_id}/logout")
    assert (reply.status, reply.text) == (204, "")
    assert [person.get("/user").status for person in (alice, second, mallory, root)] == [401, 401, 200, 200]
    told = {(event.subject, event.data["reason"]) for event in service.events("session.revoked")}
    assert told == {(one.session_id, "ended_by_admin") for one in (alice, second)}
    assert service.deeds(root) == [("user.logged_out", alice.user_id)]
    assert alice.log_in().status == 200
