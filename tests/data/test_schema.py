"""Migrations, and that every query finds an index."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from services.data import schema, store
from services.data.mongo import Database
from services.data.outbox import MongoSource
from services.data.store import Key
from shared.ids import new_id
from tests.data.conftest import note


@pytest.fixture
def empty(db: Database, settings) -> Database:
    """Another, empty database on the same server."""
    other = Database(settings.mongo_url.get_secret_value(), f"{settings.mongo_database}_empty")
    yield other
    with other.connection() as conn:
        conn.database.client.drop_database(conn.database.name)
    other.close()


def test_what_is_applied_is_recorded_and_not_applied_again(empty):
    names = [migration.name for migration in schema.read()]
    assert schema.pending(empty) == names
    assert schema.migrate(empty) == names
    assert schema.pending(empty) == schema.migrate(empty) == []


def test_two_processes_may_migrate_at_once(empty):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: schema.migrate(empty), range(4)))
    assert schema.pending(empty) == []
    with empty.connection() as conn:
        assert set(conn["documents"].index_information()) == {
            "_id_", "document", "feed", "live_in_collection", "tombstones",
        }  # fmt: skip
        assert conn["schema_migrations"].count_documents({}) == len(schema.read())


def test_a_file_that_was_interrupted_runs_again(empty, tmp_path):
    file = tmp_path / "0001_two_steps.json"
    file.write_text(json.dumps([{"create": "things"}, {"noSuchCommand": 1}]))
    with pytest.raises(Exception, match="noSuchCommand"):
        schema.migrate(empty, tmp_path)
    assert schema.pending(empty, tmp_path) == ["0001_two_steps.json"]
    file.write_text(json.dumps([{"create": "things"}, {"create": "others"}]))
    assert schema.migrate(empty, tmp_path) == ["0001_two_steps.json"]


def test_a_file_that_changed_after_it_was_applied_is_refused(empty, tmp_path):
    file = tmp_path / "0001_things.json"
    file.write_text('[{"create": "things"}]')
    schema.migrate(empty, tmp_path)
    file.write_text('[{"create": "others"}]')
    with pytest.raises(schema.MigrationError, match="has changed since"):
        schema.migrate(empty, tmp_path)


@pytest.mark.parametrize("names", [["1_x.json"], ["0001_x.js"], ["0001_a.json", "0001_b.json"]])
def test_wrong_or_doubled_numbers_are_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("[]")
    with pytest.raises(schema.MigrationError):
        schema.read(tmp_path)


class Spy(CommandListener):
    """Hears what goes over the wire: collection, filter and sort of every query and write."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict, dict]] = []

    def started(self, event: CommandStartedEvent) -> None:
        command, name = event.command, event.command_name
        if name in ("find", "findAndModify"):
            where = command["filter"] if name == "find" else command["query"]
            self.heard.append((command[name], where, dict(command.get("sort") or {})))
        for part in command.get("updates", []) + command.get("deletes", []):
            self.heard.append((command[name], part["q"], {}))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def test_every_query_uses_an_index(settings, db, as_alice):
    """Each query of store, outbox and schema is run, heard on the wire, and explained by the server."""
    paths = [note() for _ in range(3)]
    for path in paths:
        as_alice.put(path, {"n": 1})
    as_alice.delete(paths[0])
    spy = Spy()
    heard = Database(settings.mongo_url.get_secret_value(), settings.mongo_database, event_listeners=[spy])
    user_id, key = as_alice.person.user_id, Key("notes", new_id())
    with heard.connection() as conn:
        space = store.upsert_private_space(conn, user_id)
        store.upsert_private_space(conn, new_id())
        store.get_space(conn, user_id, space.id)
        store.list_spaces(conn, user_id)
        store.get_document(conn, space.id, key)
        store.get_documents(conn, space.id, [key, Key("lists", new_id())])
        store.write_documents(conn, space.id, [store.Write(key, None, None)])
        store.list_documents(conn, space.id, "notes", None, 10)
        store.list_documents(conn, space.id, "notes", new_id(), 10)
        store.list_changes(conn, store.upsert_private_space(conn, user_id), 0, 10)
        tombstones = store.list_old_tombstones(conn, timedelta(seconds=-1), 10)
        store.delete_tombstones(conn, space.id, [t for t in tombstones if t.space_id == space.id])
    source = MongoSource(heard)
    source.lag_s()
    with pytest.raises(RuntimeError), source.batch(10):
        raise RuntimeError
    for _ in range(2):
        with source.batch(10):
            pass
    schema.pending(heard)
    heard.close()

    assert len(spy.heard) > 20
    slow = []
    with db.connection() as conn:
        for collection, where, sort in spy.heard:
            cursor = conn[collection].find(where)
            plan = json.dumps((cursor.sort(sort) if sort else cursor).explain()["queryPlanner"], default=str)
            if "COLLSCAN" in plan or not any(stage in plan for stage in ("IXSCAN", "IDHACK", "EXPRESS")):
                slow.append((collection, where, sort, plan))
    assert slow == []
