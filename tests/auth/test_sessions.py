"""GET /sessions, DELETE /sessions/{session_id}."""

from tests.auth.conftest import Person, Service


def test_people_see_their_own_sessions_newest_first(service: Service, alice: Person, mallory: Person) -> None:
    first = alice.session_id
    alice.log_in(**{"User-Agent": "Example/1 (iPhone; iOS 18)"})
    page = alice.get("/sessions")
    assert [item["id"] for item in page["items"]] == [alice.session_id, first]
    assert [item["is_current"] for item in page["items"]] == [True, False]
    assert page["items"][0]["device_name"] == "iPhone"
    assert page["next_cursor"] is None
    assert [item["id"] for item in mallory.get("/sessions")["items"]] == [mallory.session_id]


def test_a_refresh_moves_when_a_session_was_last_seen(alice: Person) -> None:
    before = alice.get("/sessions")["items"][0]["last_seen_at"]
    alice.refresh()
    assert alice.get("/sessions")["items"][0]["last_seen_at"] > before


def test_pages_hold_every_session_once(alice: Person) -> None:
    for _ in range(4):
        alice.log_in()
    seen, cursor = [], ""
    while True:
        page = alice.get(f"/sessions?limit=2{cursor}")
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 5


def test_an_ended_session_is_dead_at_once_and_gone_from_the_list(service: Service, alice: Person) -> None:
    lost = Person(service, alice.email)
    lost.log_in()
    path = f"/sessions/{lost.session_id}"
    assert service.call("DELETE", path, headers=alice.headers).status == 204
    assert lost.get("/user").code == "session_not_found"
    assert lost.refresh().code == "session_not_found"
    assert [item["id"] for item in alice.get("/sessions")["items"]] == [alice.session_id]
    (event,) = service.events("session.revoked")
    assert (event.subject, event.data["reason"]) == (lost.session_id, "ended_by_user")
    again = service.call("DELETE", path, headers=alice.headers)
    assert (again.status, again.code) == (404, "session_not_found")


def test_mallory_cannot_end_the_session_of_alice(service: Service, alice: Person, mallory: Person) -> None:
    reply = service.call("DELETE", f"/sessions/{alice.session_id}", headers=mallory.headers)
    assert (reply.status, reply.code) == (404, "session_not_found")
    assert alice.get("/user").status == 200
    assert service.events("session.revoked") == []


def test_an_id_that_is_none_is_refused(service: Service, alice: Person) -> None:
    reply = service.call("DELETE", "/sessions/1' OR '1'='1", headers=alice.headers)
    assert (reply.status, reply.code) == (400, "validation_failed")
    assert alice.get("/sessions?cursor=x")["errors"][0]["parameter"] == "cursor"
    assert alice.get("/sessions?limit=0")["errors"][0]["parameter"] == "limit"
