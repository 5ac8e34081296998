"""GET /data/v1/changes"""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask

from services.data import store
from services.data.app import create_app
from services.data.config import DataSettings
from services.data.mongo import Database
from services.data.purge import purge
from shared.ids import new_id
from tests.data.conftest import Client, note, row

NOW = timedelta(seconds=-1)  # a retention that every tombstone has outlived


def test_a_reader_gets_every_document_and_then_only_what_changed(as_alice):
    paths = [note() for _ in range(3)]
    for n, path in enumerate(paths):
        as_alice.put(path, {"n": n})
    first, checkpoint = as_alice.pull_all()
    assert [document["document"] for document in first] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert as_alice.pull_all(checkpoint) == ([], checkpoint)

    as_alice.put(paths[0], {"n": 10})
    as_alice.delete(paths[1])
    second, checkpoint = as_alice.pull_all(checkpoint)
    assert [(document["document"], document["deleted"]) for document in second] == [({"n": 10}, False), (None, True)]
    assert as_alice.pull_all(checkpoint)[0] == []


def test_a_document_written_often_appears_once_as_it_is_now(as_alice):
    path = note()
    for n in range(4):
        as_alice.put(path, {"n": n})
    (document,) = as_alice.pull_all()[0]
    assert document["document"] == {"n": 3}


def test_a_change_looks_like_the_document_with_a_mark(as_alice):
    path = note()
    as_alice.put(path, {"n": 1})
    (document,) = as_alice.pull_all()[0]
    assert document == as_alice.get(path).json | {"deleted": False}


def test_small_pages_bring_the_same_as_one_large(as_alice):
    as_alice.push(*[row(new_id(), {"n": n}) for n in range(20)])
    whole, end = as_alice.pull_all()
    parts, end_of_parts = as_alice.pull_all(limit=3)
    assert parts == whole
    assert len(whole) == 20
    assert as_alice.pull_all(end_of_parts)[0] == as_alice.pull_all(end)[0] == []


def test_has_more_tells_whether_to_pull_again(as_alice):
    as_alice.push(*[row(new_id(), {"n": n}) for n in range(4)])
    first = as_alice.pull(limit=3).json
    assert (len(first["documents"]), first["has_more"]) == (3, True)
    second = as_alice.pull(first["checkpoint"], limit=1).json
    assert (len(second["documents"]), second["has_more"]) == (1, False)


def test_a_page_ends_before_it_grows_too_large(as_alice, monkeypatch):
    monkeypatch.setattr(store, "MAX_PAGE_BYTES", 100)
    as_alice.push(*[row(new_id(), {"text": "x" * 60}) for _ in range(3)])
    first = as_alice.pull().json
    assert (len(first["documents"]), first["has_more"]) == (1, True)
    assert len(as_alice.pull_all(first["checkpoint"])[0]) == 2


def test_a_feed_with_wide_gaps_is_read_to_its_end(as_alice):
    """One document written over and over leaves nothing of its earlier revisions."""
    first, last = note(), note()
    as_alice.put(first, {"n": 0})
    for n in range(40):
        as_alice.put(last, {"n": n})
    documents, checkpoint = as_alice.pull_all(limit=1)
    assert [document["revision"] for document in documents] == [1, 41]
    assert as_alice.pull_all(checkpoint)[0] == []


def test_nobody_gets_the_changes_of_others(as_alice, as_mallory):
    as_alice.put(note(), {"n": 1})
    assert as_mallory.pull_all()[0] == []


def test_a_checkpoint_of_somebody_else_or_of_no_space_needs_a_new_start(as_alice, as_mallory):
    as_alice.put(note(), {"n": 1})
    of_alice = as_alice.pull().json["checkpoint"]
    unknown = forged({str(uuid4()): [1, 1]})
    for checkpoint in (of_alice, unknown):
        answer = as_mallory.pull(checkpoint)
        assert (answer.status_code, answer.json["code"]) == (410, "resync_required")


def test_a_checkpoint_from_the_future_needs_a_new_start(as_alice):
    """A restored backup: the server has forgotten writes that this reader has seen."""
    space_id = as_alice.space_id()
    assert as_alice.pull(forged({space_id: [5, 0]})).json["code"] == "resync_required"


def forged(spaces: dict[str, list[int]], **more: object) -> str:
    return encoded(json.dumps({"v": 1, "s": spaces, **more}).encode())


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


SPACE = str(UUID(int=5))
BAD_CHECKPOINTS = [
    "", "x", "null", "{}", "!!!!", "é", "a" * 8193, encoded(b"\xff\xfe"), encoded(b"[]"), encoded(b"{}"),
    encoded(b"[" * 5000), encoded(b'{"v":1,"s":{"' + b"1" * 30 + b'":[1,2]}}'),
    forged({SPACE: [1]}), forged({SPACE: [1, 2, 3]}), forged({SPACE: [-1, 0]}), forged({SPACE: [0, 2**63]}),
    forged({SPACE: ["1", 0]}), forged({SPACE: [True, 0]}), forged({SPACE: [1.5, 0]}), forged({SPACE: None}),  # type: ignore[dict-item,list-item]
    forged({}, v=2), forged({}, more=1),
]  # fmt: skip


@pytest.mark.parametrize("checkpoint", BAD_CHECKPOINTS, ids=lambda value: value[:20])
def test_what_is_no_checkpoint_is_named(as_alice, checkpoint):
    answer = as_alice.pull(checkpoint)
    assert answer.status_code == 400
    assert answer.json["code"] == "validation_failed"
    assert [error["parameter"] for error in answer.json["errors"]] == ["checkpoint"]


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "501"), ("limit", "x"), ("since", "5")])
def test_a_wrong_parameter_is_named(as_alice, name, value):
    answer = as_alice.get(f"/data/v1/changes?{name}={value}")
    assert answer.status_code == 400
    assert [error["parameter"] for error in answer.json["errors"]] == [name]


def test_without_a_token_there_is_no_feed(app: Flask):
    assert app.test_client().get("/data/v1/changes").status_code == 401


@pytest.fixture
def second_process(settings: DataSettings) -> Iterator[Flask]:
    """Another web process on the same database, as far as MongoDB can tell."""
    made = create_app(settings)
    yield made
    made.extensions["database"].close()


def test_a_reader_is_never_overtaken_by_concurrent_writers(app: Flask, second_process: Flask, alice):
    """Four writers in two processes, some colliding on one document; a reader pulls small pages all the while."""
    shared_path = note()
    done = threading.Event()
    seen: dict[str, dict] = {}
    revisions: list[int] = []

    def read() -> None:
        reader, checkpoint = Client(app, alice), None
        while True:
            is_last_round = done.is_set()
            answer = reader.pull(checkpoint, limit=5)
            assert answer.status_code == 200, answer.json
            for document in answer.json["documents"]:
                revisions.append(document["revision"])
                seen[document["id"]] = document
            checkpoint = answer.json["checkpoint"]
            if is_last_round and not answer.json["has_more"]:
                return

    def write(writer: int) -> list[int]:
        client, written = Client(second_process if writer % 2 else app, alice), []
        for n in range(15):
            path = shared_path if n % 5 == 0 else note()
            written.append(client.put(path, {"writer": writer, "n": n}).json["revision"])
            if n % 7 == 3:
                client.delete(path)
        return written

    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(read)
        written = [revision for future in [pool.submit(write, w) for w in range(4)] for revision in future.result()]
        done.set()
        reading.result()
    assert revisions == sorted(set(revisions)), "revisions grow strictly, so nothing came twice or too late"
    assert len(set(written)) == len(written), "no two writes share a revision"
    everything = {document["id"]: document for document in Client(app, alice).pull_all()[0]}
    assert seen == everything


def test_a_reader_that_was_away_for_too_long_must_begin_anew(as_alice, db: Database):
    path = note()
    as_alice.put(path, {"n": 1})
    as_alice.put(note(), {"n": 2})
    _, before = as_alice.pull_all()
    as_alice.delete(path)
    _, after = as_alice.pull_all(before)
    assert purge(db, NOW) >= 1
    answer = as_alice.pull(before)
    assert (answer.status_code, answer.json["code"]) == (410, "resync_required")
    assert as_alice.pull_all(after)[0] == []


def test_who_begins_after_a_purge_reaches_the_end_page_by_page(as_alice, db: Database):
    """The horizon lies above all that is left; a reader that starts below it must not be sent back for ever."""
    keep = [note() for _ in range(4)]
    gone = [note() for _ in range(2)]
    for path in keep + gone:
        as_alice.put(path, {"n": 1})
    for path in gone:
        as_alice.delete(path)
    purge(db, NOW)
    documents, checkpoint = as_alice.pull_all(limit=1)
    assert len(documents) == 4
    assert as_alice.pull(checkpoint).status_code == 200


def test_who_begins_before_a_deletion_and_continues_after_its_purge_must_begin_anew(as_alice, db: Database):
    paths = [note() for _ in range(4)]
    for path in paths:
        as_alice.put(path, {"n": 1})
    half_way = as_alice.pull(limit=2).json["checkpoint"]
    as_alice.delete(paths[0])
    purge(db, NOW)
    assert as_alice.pull(half_way).json["code"] == "resync_required"
