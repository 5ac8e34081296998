"""POST /data/v1/push"""

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.ids import new_id
from tests.data.conftest import Client, note, row


def outcomes(answer) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [result["outcome"] for result in answer.json["results"]]


def test_what_was_written_offline_is_stored_in_the_order_of_the_rows(as_alice, outbox_of):
    ids = [new_id() for _ in range(3)]
    answer = as_alice.push(
        row(ids[0], {"n": 0}), row(ids[1], {"n": 1}, collection="lists"), row(ids[2], {"n": 2})
    )  # fmt: skip
    assert outcomes(answer) == ["accepted"] * 3
    assert [result["revision"] for result in answer.json["results"]] == [1, 2, 3]
    assert [document["id"] for document in as_alice.pull_all()[0]] == [str(document_id) for document_id in ids]
    assert outbox_of(as_alice) == [{"space_id": as_alice.space_id(), "seq": 3, "collections": ["lists", "notes"]}]


def test_changes_and_deletions_of_the_assumed_revision_are_accepted(as_alice):
    changed, deleted = new_id(), new_id()
    as_alice.push(row(changed, {"n": 1}), row(deleted, {"n": 1}))
    answer = as_alice.push(row(changed, {"n": 2}, assumed=1), row(deleted, assumed=2))
    assert outcomes(answer) == ["accepted", "accepted"]
    assert as_alice.get(note(changed)).json["document"] == {"n": 2}
    assert as_alice.get(note(deleted)).status_code == 404


def test_a_conflict_comes_back_with_the_current_document_and_stops_no_other_row(as_alice):
    mine, theirs = new_id(), new_id()
    as_alice.put(note(theirs), {"by": "other phone"})
    current = as_alice.put(note(theirs), {"by": "other phone, again"}).json
    answer = as_alice.push(row(theirs, {"by": "me"}, assumed=1), row(mine, {"n": 1}))
    assert outcomes(answer) == ["conflict", "accepted"]
    assert answer.json["results"][0]["current"] == current | {"deleted": False}
    assert as_alice.get(note(theirs)).json == current


def test_a_conflict_with_a_deletion_comes_back_with_the_tombstone(as_alice):
    document_id = new_id()
    as_alice.put(note(document_id), {"n": 1})
    as_alice.delete(note(document_id))
    for assumed in (1, None):
        answer = as_alice.push(row(document_id, {"n": 2}, assumed=assumed))
        assert outcomes(answer) == ["conflict"]
        current = answer.json["results"][0]["current"]
        assert (current["deleted"], current["document"], current["revision"]) == (True, None, 2)
    assert outcomes(as_alice.push(row(document_id, {"n": 2}, assumed=2))) == ["accepted"]


def test_a_change_of_what_is_not_there_is_a_conflict_with_nothing(as_alice):
    answer = as_alice.push(row(new_id(), {"n": 1}, assumed=7))
    assert outcomes(answer) == ["conflict"]
    assert answer.json["results"][0]["current"] is None


def test_the_same_push_again_is_accepted_and_changes_nothing(as_alice, outbox_of):
    created, changed, deleted = new_id(), new_id(), new_id()
    as_alice.push(row(changed, {"n": 1}), row(deleted, {"n": 1}))
    rows = [row(created, {"n": 1}), row(changed, {"n": 2}, assumed=1), row(deleted, assumed=2)]
    first, again = as_alice.push(*rows), as_alice.push(*rows)
    assert outcomes(first) == ["accepted"] * 3
    assert again.json == first.json
    assert len(outbox_of(as_alice)) == 2


def test_a_late_repetition_does_not_undo_a_newer_write(as_alice):
    document_id = new_id()
    create = row(document_id, {"n": 1})
    as_alice.push(create)
    as_alice.put(note(document_id), {"n": 2})
    assert outcomes(as_alice.push(create)) == ["conflict"]
    as_alice.delete(note(document_id))
    assert outcomes(as_alice.push(create)) == ["conflict"]
    assert as_alice.get(note(document_id)).status_code == 404


def test_deleting_what_is_gone_is_accepted(as_alice):
    assert outcomes(as_alice.push(row(new_id(), assumed=None), row(new_id(), assumed=3))) == ["accepted", "accepted"]
    assert as_alice.pull_all()[0] == []


def test_a_document_that_can_never_be_kept_is_rejected_and_stops_no_other_row(as_alice):
    good = new_id()
    answer = as_alice.push(
        row(new_id(), {"a": {"$where": 1}}), row(good, {"n": 1}), row(new_id(), {"a": "x" * 270_000})
    )  # fmt: skip
    assert outcomes(answer) == ["rejected", "accepted", "rejected"]
    bad, _, large = answer.json["results"]
    assert bad["code"] == "validation_failed"
    assert [error["pointer"] for error in bad["errors"]] == ["#/rows/0/document/a/$where"]
    assert large["code"] == "document_too_large"
    assert [document["id"] for document in as_alice.pull_all()[0]] == [str(good)]


def test_a_hundred_rows_are_one_event(as_alice, outbox_of):
    rows = [row(new_id(), {"n": n}) for n in range(100)]
    assert outcomes(as_alice.push(*rows)) == ["accepted"] * 100
    assert [event["seq"] for event in outbox_of(as_alice)] == [100]


def test_the_space_can_be_named(as_alice, as_mallory):
    space_id = as_alice.space_id()
    assert outcomes(as_alice.push(row(new_id(), {"n": 1}), space_id=space_id)) == ["accepted"]
    stranger = as_mallory.push(row(new_id(), {"n": 2}), space_id=space_id)
    unknown = as_mallory.push(row(new_id(), {"n": 2}), space_id=str(uuid4()))
    assert stranger.status_code == unknown.status_code == 404
    assert len(as_alice.pull_all()[0]) == 1


def test_of_many_pushes_from_one_revision_exactly_one_is_accepted(app: Flask, alice, as_alice):
    ids = [new_id(), new_id()]
    as_alice.push(*[row(document_id, {"n": -1}) for document_id in ids])
    pushes = [[row(ids[0], {"n": n}, assumed=1), row(ids[1], {"n": n}, assumed=2)] for n in range(12)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda rows: outcomes(Client(app, alice).push(*rows)), pushes))
    assert sorted(answers) == [["accepted"] * 2] + [["conflict"] * 2] * 11
    assert len({document["document"]["n"] for document in as_alice.pull_all()[0]}) == 1


ID = str(UUID(int=7))
BAD_PUSHES = [
    ({}, "#/rows"),
    ({"rows": []}, "#/rows"),
    ({"rows": {}}, "#/rows"),
    ({"rows": [1]}, "#/rows/0"),
    ({"rows": [None]}, "#/rows/0"),
    ({"rows": [row(ID, {"n": 1})], "more": 1}, "#/more"),
    ({"rows": [row(ID, {"n": 1})], "space_id": "me"}, "#/space_id"),
    ({"rows": [row(ID, {"n": 1})], "space_id": 5}, "#/space_id"),
    ({"rows": [row(ID, {"n": 1}), row("x", {"n": 1})]}, "#/rows/1/id"),
    ({"rows": [{**row(ID, {"n": 1}), "id": 5}]}, "#/rows/0/id"),
    ({"rows": [row(ID, {"n": 1}, collection="Notes")]}, "#/rows/0/collection"),
    ({"rows": [row(ID, {"n": 1}, collection="members")]}, "#/rows/0/collection"),
    ({"rows": [row(ID, {"n": 1}, collection=["notes"])]}, "#/rows/0/collection"),
    ({"rows": [row(ID, {"n": 1}, assumed="1")]}, "#/rows/0/assumed_revision"),
    ({"rows": [row(ID, {"n": 1}, assumed=-1)]}, "#/rows/0/assumed_revision"),
    ({"rows": [row(ID, {"n": 1}, assumed=1.5)]}, "#/rows/0/assumed_revision"),
    ({"rows": [row(ID, {"n": 1}, assumed=True)]}, "#/rows/0/assumed_revision"),
    ({"rows": [{"collection": "notes", "id": ID, "document": {}}]}, "#/rows/0/assumed_revision"),
    ({"rows": [row(ID, [1])]}, "#/rows/0/document"),
    ({"rows": [row(ID, "text")]}, "#/rows/0/document"),
    ({"rows": [row(ID, {"n": 1}, deleted=True)]}, "#/rows/0"),
    ({"rows": [row(ID, {"n": 1}, deleted=False)]}, "#/rows/0/deleted"),
    ({"rows": [{"collection": "notes", "id": ID, "assumed_revision": None}]}, "#/rows/0"),
    ({"rows": [row(ID, {"n": 1}, more=1)]}, "#/rows/0/more"),
    ({"rows": [row(ID, {"n": 1}), row(ID, {"n": 2})]}, "#/rows"),
    ({"rows": [row(UUID(int=n), {"n": 1}) for n in range(101)]}, "#/rows"),
    ([], "#"),
]


@pytest.mark.parametrize(("body", "pointer"), BAD_PUSHES, ids=lambda value: repr(value)[:50])
def test_a_wrong_push_is_named_and_nothing_is_written(as_alice, outbox_of, body, pointer):
    answer = as_alice.send("POST", "/data/v1/push", json.dumps(body).encode())
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == "validation_failed"
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert as_alice.pull_all()[0] == []
    assert outbox_of(as_alice) == []


BAD_BYTES = [
    (b"", 400, "malformed_json"),
    (b"\xff", 400, "malformed_json"),
    (b'{"rows": [' + b"[" * 40 + b"]" * 40 + b"]}", 400, "malformed_json"),
    (b'{"rows": "' + b"x" * 1_100_000 + b'"}', 413, "payload_too_large"),
]


@pytest.mark.parametrize(("data", "status", "code"), BAD_BYTES, ids=lambda value: repr(value)[:30])
def test_what_is_not_json_is_refused_with_the_reason(as_alice, data, status, code):
    answer = as_alice.send("POST", "/data/v1/push", data)
    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_an_integer_beyond_64_bits_is_refused_with_its_place(as_alice):
    answer = as_alice.push(row(new_id(), {"n": 1}), row(new_id(), {"n": [1, 2**63]}))
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json["errors"]] == ["#/rows/1/document/n/1"]
    assert as_alice.pull_all()[0] == []


def test_another_content_type_is_refused(as_alice):
    answer = as_alice.send("POST", "/data/v1/push", b'{"rows": []}', content_type="text/plain")
    assert answer.status_code == 415


def test_without_a_token_nothing_is_pushed(app: Flask):
    assert app.test_client().post("/data/v1/push", json={"rows": []}).status_code == 401
