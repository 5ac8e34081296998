"""GET /data/v1/spaces/{space_id}/collections/{collection}/documents/{document_id}"""

from flask import Flask

from shared.ids import new_id
from tests.data.conftest import note


def test_the_same_etag_answers_304_without_a_body(as_alice):
    path = note()
    etag = as_alice.put(path, {"n": 1}).headers["ETag"]
    answer = as_alice.get(path, if_none_match=etag)
    assert answer.status_code == 304
    assert answer.data == b""
    assert as_alice.get(path, if_none_match='"0"').status_code == 200


def test_nothing_and_a_deleted_document_are_404(as_alice):
    path = note()
    assert as_alice.get(path).status_code == 404
    as_alice.put(path, {"n": 1})
    as_alice.delete(path)
    answer = as_alice.get(path)
    assert (answer.status_code, answer.json["code"]) == (404, "document_not_found")


def test_the_same_id_in_another_collection_is_another_document(as_alice):
    path = note(new_id())
    as_alice.put(path, {"n": 1})
    other = path.replace("notes", "lists")
    assert as_alice.get(other).status_code == 404
    as_alice.put(other, {"n": 2})
    assert as_alice.get(path).json["document"] == {"n": 1}


def test_without_a_token_nothing_is_read(app: Flask):
    assert app.test_client().get(note()).status_code == 401
