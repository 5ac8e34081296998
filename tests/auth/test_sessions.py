"""GET /sessions, PATCH and DELETE /sessions/{session_id}, and what limits them."""

from services.auth.worker import clean_up
from tests.auth.conftest import Make, Person, Service, at_once


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


def test_a_session_says_which_app_on_which_platform_it_is(service: Service, alice: Person) -> None:
    alice.log_in(**{"User-Agent": "Example/1 (iPhone; iOS 18)", "X-App-Platform": "iOS", "X-App-Version": "3.1.4"})
    item = alice.get("/sessions")["items"][0]
    assert (item["platform"], item["app_version"], item["aal"]) == ("ios", "3.1.4", "aal1")
    assert item["amr"][0]["method"] == "password"
    body = {"refresh_token": alice.session["refresh_token"]}
    headers = {"X-App-Version": "3.2.0", "X-Forwarded-For": "203.0.113.9"}
    service.post("/token?grant_type=refresh_token", body, headers)
    item = alice.get("/sessions")["items"][0]
    assert (item["app_version"], item["ip"]) == ("3.2.0", "203.0.113.9")


def test_what_is_no_version_is_not_kept(alice: Person) -> None:
    alice.log_in(**{"X-App-Platform": "<script>", "X-App-Version": "1.0 or 2.0 " * 9, "User-Agent": "okhttp/4"})
    item = alice.get("/sessions")["items"][0]
    assert (item["platform"], item["app_version"]) == ("android", "")


def test_a_session_can_be_named(service: Service, alice: Person, mallory: Person) -> None:
    path = f"/sessions/{alice.session_id}"
    named = service.call("PATCH", path, body={"device_name": " Kitchen tablet "}, headers=alice.headers)
    assert (named.status, named["device_name"], named["is_current"]) == (200, "Kitchen tablet", True)
    alice.refresh()
    assert alice.get("/sessions")["items"][0]["device_name"] == "Kitchen tablet"
    for name in ("", "  ", "two\nlines", "x" * 101):
        refused = service.call("PATCH", path, body={"device_name": name}, headers=alice.headers)
        assert (refused.status, refused["errors"][0]["pointer"]) == (400, "#/device_name")
    stranger = service.call("PATCH", path, body={"device_name": "Mine"}, headers=mallory.headers)
    assert (stranger.status, stranger.code) == (404, "session_not_found")
    assert alice.get("/sessions")["items"][0]["device_name"] == "Kitchen tablet"


def test_with_one_session_too_many_the_one_not_seen_for_longest_ends(make_service: Make) -> None:
    service = make_service(sessions_per_user=3)
    alice = service.member("alice")
    people = [Person(service, alice.email) for _ in range(2)]
    for person in people:
        person.log_in()
    alice.refresh()  # so the first one is the one seen last
    newest = Person(service, alice.email)
    newest.log_in()
    assert alice.get("/user").status == people[1].get("/user").status == newest.get("/user").status == 200
    assert people[0].get("/user").code == "session_not_found"
    (event,) = service.events("session.revoked")
    assert (event.subject, event.data["reason"]) == (people[0].session_id, "expired")
    assert [
        row["end_reason"] for row in service.rows("SELECT end_reason FROM sessions WHERE ended_at IS NOT NULL")
    ] == ["session_limit"]


def test_twenty_log_ins_at_once_do_not_get_past_the_limit(make_service: Make) -> None:
    service = make_service(sessions_per_user=3)
    alice = service.member("alice")
    at_once(lambda _: Person(service, alice.email).log_in())
    assert len(service.rows("SELECT 1 FROM sessions WHERE ended_at IS NULL")) == 3
    assert len(service.events("session.revoked")) == 18


def test_a_session_ends_when_its_time_is_over_however_often_it_is_used(make_service: Make) -> None:
    service = make_service(session_lifetime_s=86_400)
    alice = service.member("alice")
    assert alice.refresh().status == 200
    service.rows("UPDATE sessions SET created_at = now() - interval '25 hours'")
    assert alice.refresh().code == "session_expired"
    service.rows("UPDATE sessions SET id = '01900000-0000-7000-8000-000000000000'")
    assert clean_up(service.db, service.parts.settings) == 1
    (event,) = service.events("session.revoked")
    assert event.data["reason"] == "expired"


def test_what_a_refresh_changes_is_in_no_index(service: Service) -> None:
    indexed = service.rows(
        """
        SELECT attname FROM pg_attribute WHERE attrelid = 'sessions'::regclass AND attnum IN (
            SELECT unnest(indkey) FROM pg_index WHERE indrelid = 'sessions'::regclass)
        """
    )
    assert not {"refreshed_at", "refresh_issued", "refresh_accepted", "ip", "app_version"} & {
        row["attname"] for row in indexed
    }
