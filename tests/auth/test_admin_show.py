"""GET /admin/users/{user_id}."""

from tests.auth.conftest import Person, Service


def test_an_administrator_sees_what_the_person_sees(service: Service, root: Person, alice: Person) -> None:
    reply = root.administer("GET", f"/{alice.user_id}")
    assert (reply.status, reply.json) == (200, alice.get("/user").json)
    assert service.deeds(root) == [("user.read", alice.user_id)]


def test_what_is_no_id_is_refused(root: Person) -> None:
    assert root.administer("GET", "/1'%20OR%20'1'='1").status in (400, 404, 422)
