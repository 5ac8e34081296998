"""GET and DELETE /admin/users/{user_id}/sessions."""

from tests.auth.conftest import Person, Service


def test_an_administrator_sees_a_users_sessions_page_by_page_and_ends_one(
    service: Service, root: Person, alice: Person, mallory: Person
) -> None:
    second = Person(service, alice.email)
    second.log_in()
    first = root.administer("GET", f"/{alice.user_id}/sessions?limit=1")
    rest = root.administer("GET", f"/{alice.user_id}/sessions?limit=1&cursor={first['next_cursor']}")
    assert [first["items"][0]["id"], rest["items"][0]["id"]] == [second.session_id, alice.session_id]
    assert rest["next_cursor"] is None
    assert {item["is_current"] for item in first["items"] + rest["items"]} == {False}
    path = f"/{alice.user_id}/sessions"
    assert root.administer("DELETE", f"{path}/{mallory.session_id}").code == "session_not_found"
    assert root.administer("DELETE", f"{path}/{alice.session_id}").status == 204
    assert [person.get("/user").status for person in (alice, second, mallory)] == [401, 200, 200]
    (told,) = service.events("session.revoked")
    assert (told.subject, told.data["reason"]) == (alice.session_id, "ended_by_admin")
    done = ["user.sessions_listed", "user.sessions_listed", "user.session_ended"]
    assert service.deeds(root) == [(deed, alice.user_id) for deed in done]
