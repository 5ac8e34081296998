"""The audit log is read by administrators, exported at the command line, and by a person as far as it is their own."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from psycopg2.extensions import cursor as PlainCursor

from services.auth import store
from services.auth.audit_export import BATCH
from services.auth.store import DeedFilter
from shared.ids import new_id
from tests.auth.conftest import Person, Reply, Service, Start, output_of

LATER = datetime(2100, 1, 1, tzinfo=UTC)


def _read(person: Person, **query: Any) -> Reply:
    return person.get(f"/admin/audit?{urlencode(query)}")


def _fill(service: Service, subject: str, rows: int) -> None:
    """Rows about somebody, a minute apart, the last one yesterday."""
    sql = """
        INSERT INTO audit_log (action, subject, actor, at)
        SELECT 'test.' || n %% 3, %(subject)s, %(subject)s, now() - interval '1 day' - make_interval(mins => n)
        FROM generate_series(0, %(rows)s - 1) AS n
    """
    service.as_owner(sql, subject=subject, rows=rows)


def test_administrators_read_everything_and_that_is_noted(service: Service, root: Person, alice: Person) -> None:
    reply = _read(root, user_id=alice.user_id)
    assert [item["action"] for item in reply["items"]] == ["session.opened", "user.confirmed", "user.registered"]
    opened = reply["items"][0]
    assert opened == {
        "id": opened["id"],
        "at": opened["at"],
        "action": "session.opened",
        "user_id": alice.user_id,
        "actor_id": alice.user_id,
        "address": "127.0.0.1",
        "client": "Unknown device",
        "session_id": alice.session_id,
        "details": {"method": "otp", "new_device": False},
    }
    assert reply["next_cursor"] is None
    assert service.deeds(root) == [("audit.read", alice.user_id)]


def test_pages_follow_each_other_whatever_is_noted_meanwhile(service: Service, root: Person) -> None:
    somebody = str(new_id())
    _fill(service, somebody, 7)
    seen, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        reply = _read(root, user_id=somebody, limit=3, **more)
        seen += [item["id"] for item in reply["items"] if item["action"].startswith("test.")]
        cursor = reply["next_cursor"]
        if cursor is None:
            break
    sql = "SELECT id FROM audit_log WHERE subject = %(id)s AND action LIKE 'test.%%' ORDER BY at DESC"
    assert seen == [row["id"] for row in service.rows(sql, id=somebody)] and len(seen) == 7


def test_what_is_asked_for_is_by_user_actor_action_and_time(service: Service, root: Person) -> None:
    one, other = str(new_id()), str(new_id())
    _fill(service, one, 6)
    _fill(service, other, 6)
    assert len(_read(root, actor_id=one)["items"]) == 6
    assert {item["action"] for item in _read(root, user_id=one, action="test.1")["items"]} == {"test.1"}
    times = [item["at"] for item in _read(root, actor_id=one)["items"]]
    between = _read(root, actor_id=one, since=times[3], until=times[1])["items"]
    assert [item["at"] for item in between] == times[2:4]
    assert _read(root, user_id=one, since=LATER.isoformat())["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "x"},
        {"cursor": "1-"},
        {"cursor": "²-1"},
        {"cursor": "9" * 39},
        {"cursor": f"{10**35}-1"},
        {"cursor": f"1-{1 << 63}"},
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},
        {"since": "9999-12-31T23:59:59-23:00"},
        {"until": "0001-01-01T00:00:00+23:00"},
        {"limit": 0},
        {"limit": 101},
        {"user_id": "alice"},
        {"subject": "alice"},
    ],
)
def test_what_is_asked_for_wrongly_is_refused(root: Person, query: dict[str, Any]) -> None:
    reply = _read(root, **query)
    assert (reply.status, reply.code) == (400, "validation_failed")


def test_nobody_else_reads_it(service: Service, alice: Person) -> None:
    assert _read(alice).code == "insufficient_scope"
    assert service.get("/admin/audit").status == 401
    assert service.get("/user/audit").status == 401


def test_a_person_reads_their_own_history_and_of_administrators_only_what_they_did(
    service: Service, root: Person, alice: Person, mallory: Person
) -> None:
    service.post("/token?grant_type=password", {"email": alice.email, "password": "wrong wrong wrong"})
    root.administer("GET", f"/{alice.user_id}")
    reply = alice.get("/user/audit?limit=2")
    read, failed = reply["items"]
    assert (read["action"], read["by"]) == ("user.read", "administrator")
    assert (read["address"], read["client"], read["session_id"], read["details"]) == (None, "", None, {})
    assert (failed["action"], failed["by"], failed["address"]) == ("log_in.failed", "nobody", "127.0.0.1")
    rest = alice.get(f"/user/audit?cursor={reply['next_cursor']}")["items"]
    assert [(item["action"], item["by"]) for item in rest] == [
        ("session.opened", "you"),
        ("user.confirmed", "nobody"),
        ("user.registered", "nobody"),
    ]
    assert root.user_id not in reply.text and root.session_id not in reply.text
    theirs = {item["session_id"] for item in mallory.get("/user/audit")["items"]}
    assert alice.session_id not in theirs and mallory.session_id in theirs


def test_what_an_administrator_did_in_somebodys_name_is_not_said_to_be_by_them(
    service: Service, root: Person, alice: Person
) -> None:
    sql = """
        INSERT INTO audit_log (action, subject, actor, address, details)
        VALUES ('impersonation.ended', %(id)s, NULL, '192.0.2.9', '{"by": "root", "reason": "a ticket"}')
    """
    service.rows(sql, id=alice.user_id)
    (item,) = alice.get("/user/audit?limit=1")["items"]
    assert (item["by"], item["address"], item["details"]) == ("administrator", None, {})


def test_it_is_exported_as_a_row_a_line_oldest_first(service: Service, start: Start, alice: Person) -> None:
    somebody = str(new_id())
    _fill(service, somebody, BATCH + 5)
    since = (datetime.now(UTC) - timedelta(days=1, minutes=BATCH + 3)).isoformat()
    settings = service.parts.settings
    status, out, _ = output_of(start(settings, "audit", "export", "--user", somebody, "--since", since))
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and len(lines) == BATCH + 3
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert lines[0].keys() == _read_keys(service)
    (noted,) = service.rows("SELECT subject::text, details FROM audit_log WHERE action = 'audit.exported'")
    assert noted == {"subject": somebody, "details": {"rows": BATCH + 3}}


def _read_keys(service: Service) -> set[str]:
    schema = service.app.test_client().get("/openapi.json").get_json()["components"]["schemas"]["DeedItem"]
    return set(schema["properties"])


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in _nodes(part))]


def test_whatever_is_asked_for_is_found_by_an_index_in_its_order(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = """
        INSERT INTO audit_log (action, subject, actor, at)
        SELECT 'test.' || n %% 50, ('00000000-0000-7000-8000-' || lpad((n %% 40)::text, 12, '0'))::uuid,
               ('00000000-0000-7000-8000-' || lpad((n %% 39)::text, 12, '0'))::uuid, now() - make_interval(secs => n)
        FROM generate_series(1, 40000) AS n
    """
    service.as_owner(sql)
    service.as_owner("ANALYZE audit_log")
    plans: list[dict[str, Any]] = []

    class Explaining(PlainCursor):
        def execute(self, query: Any, params: Any = None) -> None:
            super().execute(f"EXPLAIN (FORMAT JSON) {query}", params)
            ((found,),) = self.fetchall()
            plans.append(found[0]["Plan"])
            super().execute(query, params)

    monkeypatch.setattr("shared.postgres.PlainCursor", Explaining)
    somebody, now = UUID("00000000-0000-7000-8000-000000000007"), datetime.now(UTC)
    for which in (
        DeedFilter(subject=somebody),
        DeedFilter(actor=somebody),
        DeedFilter(action="test.7"),
        DeedFilter(since=now - timedelta(hours=2), until=now - timedelta(hours=1)),
        DeedFilter(subject=somebody, since=now - timedelta(hours=2)),
        DeedFilter(),
    ):
        with service.db.transaction() as conn:
            store.list_audit(conn, which, before=(now, 10**9), limit=50)
            store.list_audit_onward(conn, which, after=(now - timedelta(days=1), 0), limit=50)
    assert len(plans) == 12
    for plan in plans:
        kinds = {node["Node Type"] for node in _nodes(plan)}
        assert not kinds & {"Seq Scan", "Sort", "Bitmap Heap Scan"}, plan
    with service.db.transaction() as conn, conn.cursor(cursor_factory=Explaining) as cursor:
        cursor.execute("SELECT id FROM audit_log WHERE client = 'x' ORDER BY details::text LIMIT 5")
    assert {"Seq Scan", "Sort"} <= {node["Node Type"] for node in _nodes(plans[-1])}, "a worse one would be noticed"
