"""PUT /data/v1/spaces/{space_id}/collections/{collection}/documents/{document_id}"""

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from flask import Flask

from shared.ids import new_id
from tests.data.conftest import NOTES, Client, note


def test_a_new_document_is_created_under_the_clients_id(as_alice):
    document_id = new_id()
    answer = as_alice.put(note(document_id), {"text": "milk", "done": False})
    assert answer.status_code == 201
    assert answer.json.keys() == {
        "space_id", "collection", "id", "revision", "document", "created_at", "updated_at",
    }  # fmt: skip
    assert answer.json["id"] == str(document_id)
    assert answer.json["document"] == {"text": "milk", "done": False}
    assert answer.headers["ETag"] == f'"{answer.json["revision"]}"'
    assert as_alice.get(note(document_id)).json == answer.json


def test_putting_again_replaces_the_whole_document(as_alice):
    path = note()
    first = as_alice.put(path, {"a": 1, "b": 2})
    second = as_alice.put(path, {"a": 3})
    assert second.status_code == 200
    assert second.json["document"] == {"a": 3}
    assert second.json["revision"] > first.json["revision"]
    assert second.json["created_at"] == first.json["created_at"]


def test_the_same_put_again_changes_nothing(as_alice, outbox_of):
    path = note()
    first = as_alice.put(path, {"a": 1, "b": [1, 2]}, if_none_match="*")
    again = as_alice.put(path, {"b": [1, 2], "a": 1}, if_none_match="*")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert len(outbox_of(as_alice)) == 1


@pytest.mark.parametrize(("before", "after"), [(1, 1.0), (1, True), (0, False), (0, None), ("1", 1), (0.0, -0.0)])
def test_what_json_tells_apart_is_a_change(as_alice, before, after):
    path = note()
    first = as_alice.put(path, {"a": before}).json["revision"]
    second = as_alice.put(path, {"a": after})
    assert second.json["revision"] > first
    assert json.dumps(as_alice.get(path).json["document"]) == json.dumps({"a": after})


def test_if_match_lets_only_the_one_who_saw_the_latest_write(as_alice):
    path = note()
    first = as_alice.put(path, {"n": 1}).headers["ETag"]
    assert as_alice.put(path, {"n": 2}, if_match=first).status_code == 200
    late = as_alice.put(path, {"n": 3}, if_match=first)
    assert late.status_code == 412
    assert late.headers["ETag"] == as_alice.get(path).headers["ETag"]
    assert as_alice.get(path).json["document"] == {"n": 2}


def test_if_match_on_nothing_is_refused(as_alice):
    assert as_alice.put(note(), {"n": 1}, if_match='"1"').status_code == 412
    assert as_alice.put(note(), {"n": 1}, if_match="*").status_code == 412


def test_if_none_match_does_not_overwrite(as_alice):
    path = note()
    as_alice.put(path, {"n": 1})
    assert as_alice.put(path, {"n": 2}, if_none_match="*").status_code == 412


def test_a_repeated_create_does_not_bring_a_deleted_document_back(as_alice):
    path = note()
    as_alice.put(path, {"n": 1}, if_none_match="*")
    as_alice.delete(path)
    answer = as_alice.put(path, {"n": 1}, if_none_match="*")
    assert (answer.status_code, answer.json["code"]) == (412, "document_deleted")
    assert as_alice.put(path, {"n": 1}, if_match="*").status_code == 412
    assert as_alice.put(path, {"n": 1}, if_match=answer.headers["ETag"]).status_code == 201


def test_without_preconditions_a_deleted_document_can_be_made_again(as_alice):
    path = note()
    first = as_alice.put(path, {"n": 1})
    as_alice.delete(path)
    again = as_alice.put(path, {"n": 1})
    assert again.status_code == 201
    assert again.json["revision"] == first.json["revision"] + 2


def test_each_write_announces_itself(as_alice, outbox_of):
    revision = as_alice.put(note(), {"n": 1}).json["revision"]
    assert outbox_of(as_alice) == [{"space_id": as_alice.space_id(), "seq": revision, "collections": ["notes"]}]


def test_values_come_back_as_they_were_sent(as_alice):
    document = {
        "int": 2**63 - 1,
        "least": -(2**63),
        "float": 0.1,
        "whole": 1.0,
        "tiny": 5e-324,
        "null": None,
        "date": "2026-01-01T00:00:00Z",
        "text": "ǅ 👩‍👩‍👧 \u2028",
        "list": [[], {}, [None]],
        "id": "x",
        "_id": 5,
        "document": {"rows": []},
        "ключ/~": 1,
    }
    path = note()
    as_alice.put(path, document)
    assert json.dumps(as_alice.get(path).json["document"]) == json.dumps(document)


def test_the_private_space_can_be_named_by_its_id(as_alice):
    document_id = new_id()
    as_alice.put(note(document_id), {"n": 1})
    assert as_alice.get(NOTES.replace("me", as_alice.space_id(), 1) + f"/{document_id}").status_code == 200


def test_nobody_else_can_read_or_write_there(as_alice, as_mallory, outbox_of):
    document_id = new_id()
    as_alice.put(note(document_id), {"n": 1})
    path = NOTES.replace("me", as_alice.space_id(), 1) + f"/{document_id}"
    unknown = NOTES.replace("me", str(new_id()), 1) + f"/{document_id}"
    for method in (as_mallory.get, as_mallory.delete, lambda p: as_mallory.put(p, {"n": 2})):
        answer, nothing = method(path), method(unknown)
        assert answer.status_code == nothing.status_code == 404
        assert {**answer.json, "request_id": 0} == {**nothing.json, "request_id": 0}
    assert as_mallory.get(note(document_id)).status_code == 404
    assert as_alice.get(path).json["document"] == {"n": 1}
    assert len(outbox_of(as_alice)) == 1


def test_of_many_creates_at_once_exactly_one_wins(app: Flask, alice, as_alice, outbox_of):
    path = note()
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: Client(app, alice).put(path, {"n": n}, if_none_match="*"), range(16))
        statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] + [412] * 15
    assert len(outbox_of(as_alice)) == 1


def test_of_many_changes_to_one_revision_exactly_one_wins(app: Flask, alice, as_alice):
    path = note()
    etag = as_alice.put(path, {"n": -1}).headers["ETag"]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: Client(app, alice).put(path, {"n": n}, if_match=etag), range(16))
        statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 15


BAD_DOCUMENTS = [
    ({"$where": 1}, "#/document/$where"),
    ({"a": [{"$gt": ""}]}, "#/document/a/0/$gt"),
    ({"a.b": 1}, "#/document/a.b"),
    ({"": 1}, "#/document/"),
    ({"a": {"b/~": {"$x": 1}}}, "#/document/a/b~1~0/$x"),
    ({"k" * 257: 1}, "#/document/" + "k" * 257),
    ({"n": 2**63}, "#/document/n"),
    ({"n": [0, -(2**63) - 1]}, "#/document/n/1"),
    ({"n": 10**4000}, "#/document/n"),
    ([], "#/document"),
    ("text", "#/document"),
    (None, "#/document"),
    (5, "#/document"),
]


@pytest.mark.parametrize(("document", "pointer"), BAD_DOCUMENTS, ids=lambda value: repr(value)[:30])
def test_a_document_that_cannot_be_kept_is_refused_with_the_place(as_alice, outbox_of, document, pointer):
    path = note()
    answer = as_alice.put(path, document)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert as_alice.get(path).status_code == 404
    assert outbox_of(as_alice) == []


def nested(depth: int) -> object:
    return {"a": nested(depth - 1)} if depth > 1 else {}


def test_a_deep_document_is_refused_with_the_place(as_alice):
    assert as_alice.put(note(), nested(24)).status_code == 201
    answer = as_alice.put(note(), nested(25))
    assert answer.status_code == 400
    assert answer.json["errors"][0]["pointer"] == "#/document" + "/a" * 24


def test_a_document_may_be_256_kib_and_no_larger(as_alice):
    fits = "x" * (262_144 - len('{"a":""}'))
    assert as_alice.put(note(), {"a": fits}).status_code == 201
    path = note()
    answer = as_alice.put(path, {"a": fits + "x"})
    assert (answer.status_code, answer.json["code"]) == (413, "document_too_large")
    assert answer.json["errors"][0]["pointer"] == "#/document"
    assert as_alice.get(path).status_code == 404


BAD_BYTES = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b'{"document": {"a": "\xc3\x28"}}', 400, "malformed_json"),
    (b'{"document": {"a": "\\u0000"}}', 400, "malformed_json"),
    (b'{"document": {"a\\u0000b": 1}}', 400, "malformed_json"),
    (b'{"document": {"a": "\\udfff"}}', 400, "malformed_json"),
    (b'{"document": {"a": Infinity}}', 400, "malformed_json"),
    (b'{"document": {"a": 1, "a": 2}}', 400, "malformed_json"),
    (b'{"document": {"a": 1e400}}', 400, "malformed_json"),
    (b'{"document": {"a": -1e400}}', 400, "malformed_json"),
    (b'{"document": {"a": ' + b"9" * 5000 + b"}}", 400, None),
    (b"[" * 50_000, 400, "malformed_json"),
    (b'{"document":' + b"[" * 40 + b"]" * 40 + b"}", 400, "malformed_json"),
    (b'{"document": {}, "more": 1}', 400, "validation_failed"),
    (b"{}", 400, "validation_failed"),
    (b"[]", 400, "validation_failed"),
    (b'{"document": {"a": "' + b"x" * 1_100_000 + b'"}}', 413, "payload_too_large"),
]


@pytest.mark.parametrize(("data", "status", "code"), BAD_BYTES, ids=lambda value: repr(value)[:40])
def test_a_body_that_is_not_what_it_should_be_is_refused(as_alice, outbox_of, data, status, code):
    path = note()
    answer = as_alice.send("PUT", path, data)
    assert answer.status_code == status
    assert code in (None, answer.json["code"])
    assert as_alice.get(path).status_code == 404
    assert outbox_of(as_alice) == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/bson", ""])
def test_another_content_type_is_refused(as_alice, content_type):
    assert as_alice.send("PUT", note(), b'{"document": {}}', content_type=content_type).status_code == 415


AN_ID = UUID("01900000-0000-7000-8000-000000000000")
BAD_PATHS = [
    (f"/data/v1/spaces/mine/collections/notes/documents/{AN_ID}", "space_id"),
    (f"/data/v1/spaces/me/collections/Notes/documents/{AN_ID}", "collection"),
    (f"/data/v1/spaces/me/collections/1notes/documents/{AN_ID}", "collection"),
    (f"/data/v1/spaces/me/collections/no-tes/documents/{AN_ID}", "collection"),
    (f"/data/v1/spaces/me/collections/notes%0A/documents/{AN_ID}", "collection"),
    (f"/data/v1/spaces/me/collections/{'n' * 64}/documents/{AN_ID}", "collection"),
    (f"/data/v1/spaces/me/collections/system/documents/{AN_ID}", "collection"),
    (f"/data/v1/spaces/me/collections/gatehouse_x/documents/{AN_ID}", "collection"),
    ("/data/v1/spaces/me/collections/notes/documents/5", "document_id"),
    ("/data/v1/spaces/me/collections/notes/documents/%FF%FE", "document_id"),
]


@pytest.mark.parametrize(("path", "parameter"), BAD_PATHS)
def test_a_wrong_address_is_named(as_alice, path, parameter):
    for answer in (as_alice.put(path, {"n": 1}), as_alice.get(path), as_alice.delete(path)):
        assert answer.status_code == 400
        assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


def test_without_a_token_nothing_is_written(app: Flask):
    assert app.test_client().put(note(), json={"document": {}}).status_code == 401
