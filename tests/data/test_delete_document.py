"""DELETE /data/v1/spaces/{space_id}/collections/{collection}/documents/{document_id}"""

from concurrent.futures import ThreadPoolExecutor

from flask import Flask

from tests.data.conftest import Client, note


def test_a_deleted_document_leaves_a_tombstone_in_the_feed(as_alice, outbox_of):
    path = note()
    created = as_alice.put(path, {"n": 1}).json
    answer = as_alice.delete(path)
    assert (answer.status_code, answer.data) == (204, b"")
    (tombstone,) = as_alice.pull().json["documents"]
    assert tombstone["deleted"] is True
    assert tombstone["document"] is None
    assert tombstone["id"] == created["id"]
    assert tombstone["revision"] == created["revision"] + 1
    assert [event["seq"] for event in outbox_of(as_alice)] == [created["revision"], tombstone["revision"]]


def test_deleting_again_is_no_error_and_no_change(as_alice, outbox_of):
    path = note()
    etag = as_alice.put(path, {"n": 1}).headers["ETag"]
    assert as_alice.delete(path, if_match=etag).status_code == 204
    assert as_alice.delete(path, if_match=etag).status_code == 204
    assert as_alice.delete(path).status_code == 204
    assert len(outbox_of(as_alice)) == 2


def test_deleting_what_never_was_is_404(as_alice):
    assert as_alice.delete(note()).status_code == 404


def test_if_match_with_an_older_etag_deletes_nothing(as_alice):
    path = note()
    old = as_alice.put(path, {"n": 1}).headers["ETag"]
    as_alice.put(path, {"n": 2})
    assert as_alice.delete(path, if_match=old).status_code == 412
    assert as_alice.get(path).json["document"] == {"n": 2}


def test_many_deletions_at_once_leave_one_tombstone(app: Flask, alice, as_alice, outbox_of):
    path = note()
    as_alice.put(path, {"n": 1})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: Client(app, alice).delete(path), range(12)))
    assert {answer.status_code for answer in answers} == {204}
    assert len(outbox_of(as_alice)) == 2


def test_without_a_token_nothing_is_deleted(app: Flask):
    assert app.test_client().delete(note()).status_code == 401
