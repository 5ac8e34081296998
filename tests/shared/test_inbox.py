"""The inbox: an event's effect and the note that it was had exist together or not at all."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.ids import new_id
from shared.inbox import PostgresInbox
from shared.postgres import Connection, Database, execute
from tests.shared.test_postgres import insert, names


def test_an_effect_is_had_once_however_often_the_event_comes(db: Database) -> None:
    inbox, event_id = PostgresInbox(db), new_id()
    assert inbox.once(event_id, lambda conn: insert(conn, "a"))
    assert not inbox.once(event_id, lambda conn: insert(conn, "b"))
    assert names(db) == ["a"]


def test_an_effect_that_fails_leaves_no_note_and_may_be_tried_again(db: Database) -> None:
    inbox, event_id = PostgresInbox(db), new_id()

    def fail(conn: Connection) -> None:
        insert(conn, "half")
        raise ValueError

    with pytest.raises(ValueError):
        inbox.once(event_id, fail)
    assert names(db) == []
    assert inbox.once(event_id, lambda conn: insert(conn, "a"))


@pytest.mark.parametrize("first_fails", [False, True])
def test_a_second_delivery_waits_until_the_first_is_decided(
    make_db: Callable[..., Database], first_fails: bool
) -> None:
    event_id, inside, go_on = new_id(), threading.Event(), threading.Event()

    def slow(conn: Connection) -> None:
        insert(conn, "first")
        inside.set()
        go_on.wait(5)
        if first_fails:
            raise ValueError

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(PostgresInbox(make_db()).once, event_id, slow)
        assert inside.wait(5)
        second = pool.submit(PostgresInbox(make_db()).once, event_id, lambda conn: insert(conn, "second"))
        assert not second.done()
        go_on.set()
        assert second.result(5) is first_fails
        assert (first.exception() is not None) is first_fails
    assert names(make_db()) == (["second"] if first_fails else ["first"])


def test_old_notes_are_forgotten_some_at_a_time_and_young_ones_kept(db: Database) -> None:
    inbox = PostgresInbox(db)
    for number in range(5):
        inbox.once(new_id(), lambda conn, name=f"{number}": insert(conn, name))  # type: ignore[misc]
    with db.transaction() as conn:
        execute(conn, "UPDATE inbox SET handled_at = now() - interval '20 days'")
    young = new_id()
    inbox.once(young, lambda conn: None)
    assert [inbox.forget(timedelta(days=14), limit=3) for _ in range(3)] == [3, 2, 0]
    assert not inbox.once(young, lambda conn: None)
