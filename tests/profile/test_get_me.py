"""GET /profile/v1/me"""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from flask import Flask

from shared.postgres import Database
from tests.profile.conftest import Client


def test_a_profile_appears_on_the_first_look_and_is_private(as_alice):
    answer = as_alice.get("/profile/v1/me")
    assert answer.status_code == 200
    assert answer.json.keys() == {
        "user_id", "display_name", "bio", "locale", "timezone", "visibility", "version", "created_at", "updated_at",
    }  # fmt: skip
    assert UUID(answer.json["user_id"]) == as_alice.person.user_id
    assert answer.json["visibility"] == "private"
    assert answer.json["version"] == 1
    assert answer.json["created_at"].endswith("Z")


def test_the_same_etag_answers_304_without_a_body(as_alice):
    etag = as_alice.get("/profile/v1/me").headers["ETag"]
    answer = as_alice.get("/profile/v1/me", if_none_match=etag)
    assert answer.status_code == 304
    assert answer.data == b""
    assert answer.headers["ETag"] == etag


def test_an_etag_of_an_older_version_gets_the_profile(as_alice):
    etag = as_alice.get("/profile/v1/me").headers["ETag"]
    as_alice.patch("/profile/v1/me", {"bio": "new"})
    answer = as_alice.get("/profile/v1/me", if_none_match=etag)
    assert answer.status_code == 200
    assert answer.json["bio"] == "new"


def test_an_etag_of_another_person_does_not_match(as_alice, as_mallory):
    etag = as_alice.get("/profile/v1/me").headers["ETag"]
    assert as_mallory.get("/profile/v1/me", if_none_match=etag).status_code == 200


def test_many_first_looks_at_once_make_one_profile(app: Flask, db: Database, alice):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: Client(app, alice).get("/profile/v1/me"), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    with db.transaction() as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) AS n FROM profiles WHERE user_id = %(id)s", {"id": alice.user_id})
        assert cursor.fetchone()["n"] == 1


def test_without_a_token_there_is_no_profile(app: Flask):
    answer = app.test_client().get("/profile/v1/me")
    assert answer.status_code == 401
    assert answer.json["code"] == "token_missing"


def test_looking_does_not_announce_a_change(as_alice, outbox_of):
    as_alice.get("/profile/v1/me")
    assert outbox_of(as_alice.person) == []
