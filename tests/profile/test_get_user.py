"""GET /profile/v1/users/{user_id}"""

import pytest
from flask import Flask

from shared.ids import new_id

ME = "/profile/v1/me"


def test_a_public_profile_shows_only_what_is_public(as_alice, as_mallory):
    as_alice.patch(ME, {"display_name": "Alice", "bio": "hi", "locale": "pt", "timezone": "Asia/Tokyo",
                        "visibility": "public"})  # fmt: skip
    answer = as_mallory.get(f"/profile/v1/users/{as_alice.person.user_id}")
    assert answer.status_code == 200
    assert answer.json == {"user_id": str(as_alice.person.user_id), "display_name": "Alice", "bio": "hi"}


def test_a_private_profile_cannot_be_told_from_none(as_alice, as_mallory):
    as_alice.patch(ME, {"display_name": "Alice"})
    private = as_mallory.get(f"/profile/v1/users/{as_alice.person.user_id}")
    unknown = as_mallory.get(f"/profile/v1/users/{new_id()}")
    assert private.status_code == unknown.status_code == 404
    assert {**private.json, "request_id": ""} == {**unknown.json, "request_id": ""}
    assert set(private.headers.keys()) == set(unknown.headers.keys())


def test_a_profile_made_private_again_is_gone_for_others_at_once(as_alice, as_mallory):
    as_alice.patch(ME, {"visibility": "public"})
    seen = as_mallory.get(f"/profile/v1/users/{as_alice.person.user_id}")
    as_alice.patch(ME, {"visibility": "private"})
    answer = as_mallory.get(f"/profile/v1/users/{as_alice.person.user_id}", if_none_match=seen.headers["ETag"])
    assert answer.status_code == 404


def test_the_same_etag_answers_304(as_alice, as_mallory):
    as_alice.patch(ME, {"visibility": "public"})
    path = f"/profile/v1/users/{as_alice.person.user_id}"
    etag = as_mallory.get(path).headers["ETag"]
    assert as_mallory.get(path, if_none_match=etag).status_code == 304


@pytest.mark.parametrize("user_id", ["me", "5", "0" * 5000, "%FF", "00000000-0000-0000-0000-00000000000g"])
def test_what_is_no_id_is_named(as_alice, user_id):
    answer = as_alice.get(f"/profile/v1/users/{user_id}")
    assert answer.status_code == 400
    assert answer.json["errors"][0]["parameter"] == "user_id"


def test_a_token_is_needed(app: Flask):
    assert app.test_client().get(f"/profile/v1/users/{new_id()}").status_code == 401
