"""PATCH /profile/v1/me"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from tests.profile.conftest import Client

ME = "/profile/v1/me"


def test_named_fields_change_and_the_others_stay(as_alice):
    as_alice.patch(ME, {"display_name": "Alice", "bio": "hello"})
    answer = as_alice.patch(ME, {"locale": "pt-BR", "timezone": "Europe/Lisbon", "visibility": "public"})
    assert answer.status_code == 200
    assert answer.json["display_name"] == "Alice"
    assert answer.json["locale"] == "pt-BR"
    assert answer.json["version"] == 3
    assert as_alice.get(ME).json == answer.json
    assert as_alice.get(ME).headers["ETag"] == answer.headers["ETag"]


def test_null_clears_a_field_and_makes_visibility_private(as_alice):
    as_alice.patch(ME, {"display_name": "Alice", "visibility": "public"})
    answer = as_alice.patch(ME, {"display_name": None, "visibility": None})
    assert answer.json["display_name"] is None
    assert answer.json["visibility"] == "private"


def test_plain_json_is_accepted_as_well(as_alice):
    assert as_alice.patch(ME, {"bio": "x"}, content_type="application/json").status_code == 200


def test_a_change_is_announced_once_with_its_version(as_alice, outbox_of):
    as_alice.patch(ME, {"display_name": "Alice", "locale": "de"})
    (event,) = outbox_of(as_alice.person)
    assert event["type"] == "profile.updated"
    assert event["source"] == "profile"
    assert event["data"] == {
        "user_id": str(as_alice.person.user_id),
        "display_name": "Alice",
        "locale": "de",
        "timezone": None,
        "version": 2,
    }


def test_a_patch_that_changes_nothing_keeps_the_version_and_announces_nothing(as_alice, outbox_of):
    first = as_alice.patch(ME, {"display_name": "Alice"})
    again = as_alice.patch(ME, {"display_name": "  Alice "})
    empty = as_alice.patch(ME, {})
    assert again.json == empty.json == first.json
    assert len(outbox_of(as_alice.person)) == 1


def test_if_match_with_an_older_etag_changes_nothing(as_alice, outbox_of):
    old = as_alice.get(ME).headers["ETag"]
    current = as_alice.patch(ME, {"bio": "mine"}, if_match=old)
    assert current.status_code == 200
    answer = as_alice.patch(ME, {"bio": "late"}, if_match=old)
    assert answer.status_code == 412
    assert answer.json["code"] == "precondition_failed"
    assert answer.headers["ETag"] == current.headers["ETag"]
    assert as_alice.get(ME).json["bio"] == "mine"
    assert len(outbox_of(as_alice.person)) == 1


def test_of_many_changes_with_one_etag_exactly_one_wins(app: Flask, alice, as_alice, outbox_of):
    etag = as_alice.get(ME).headers["ETag"]
    with ThreadPoolExecutor(8) as pool:
        changes = pool.map(lambda n: Client(app, alice).patch(ME, {"bio": f"{n}"}, if_match=etag), range(12))
        statuses = sorted(answer.status_code for answer in changes)
    assert statuses == [200] + [412] * 11
    assert as_alice.get(ME).json["version"] == 2
    assert len(outbox_of(alice)) == 1


def test_changes_without_if_match_all_count(app: Flask, alice, as_alice, outbox_of):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: Client(app, alice).patch(ME, {"bio": f"{n}"}), range(12)))
    assert sorted(answer.json["version"] for answer in answers) == list(range(2, 14))
    assert [event["data"]["version"] for event in outbox_of(alice)] == list(range(2, 14))


def test_text_is_normalised_so_that_equal_looking_names_are_equal(as_alice):
    answer = as_alice.patch(ME, {"display_name": "Zoe\u0308 ", "bio": "a\r\nb"})
    assert answer.json["display_name"] == "Zo\u00eb"
    assert answer.json["bio"] == "a\nb"


@pytest.mark.parametrize(
    ("given", "stored"),
    [("en", "en"), ("PT-br", "pt-BR"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419"), ("sl-ROZAJ", "sl-rozaj"),
     ("de-DE-u-CO-phonebk", "de-DE-u-co-phonebk")],
)  # fmt: skip
def test_a_language_tag_is_stored_in_its_customary_case(as_alice, given, stored):
    assert as_alice.patch(ME, {"locale": given}).json["locale"] == stored


@pytest.mark.parametrize("name", ["🦊", "x" * 64, "محمد", "👩‍👩‍👧", "O’Neil"])
def test_names_of_all_scripts_are_welcome(as_alice, name):
    assert as_alice.patch(ME, {"display_name": name}).json["display_name"] == name


BAD_FIELDS = [
    ({"display_name": ""}, "#/display_name"),
    ({"display_name": "   "}, "#/display_name"),
    ({"display_name": "\u200b\u200d"}, "#/display_name"),
    ({"display_name": "x" * 65}, "#/display_name"),
    ({"display_name": "x" * 100_000}, "#/display_name"),
    ({"display_name": "two\nlines"}, "#/display_name"),
    ({"display_name": "bell\x07"}, "#/display_name"),
    ({"display_name": "evil\u202etxt.exe"}, "#/display_name"),
    ({"display_name": 5}, "#/display_name"),
    ({"display_name": ["a"]}, "#/display_name"),
    ({"display_name": {"a": 1}}, "#/display_name"),
    ({"display_name": True}, "#/display_name"),
    ({"bio": "x" * 501}, "#/bio"),
    ({"bio": "esc\x1b[0m"}, "#/bio"),
    ({"bio": 1.5}, "#/bio"),
    ({"locale": "english!"}, "#/locale"),
    ({"locale": "en_US"}, "#/locale"),
    ({"locale": ""}, "#/locale"),
    ({"locale": "e"}, "#/locale"),
    ({"locale": "en-" + "a" * 40}, "#/locale"),
    ({"locale": "ｅｎ"}, "#/locale"),
    ({"locale": 7}, "#/locale"),
    ({"timezone": "Mars/Olympus"}, "#/timezone"),
    ({"timezone": "../../etc/passwd"}, "#/timezone"),
    ({"timezone": ""}, "#/timezone"),
    ({"timezone": "+02:00"}, "#/timezone"),
    ({"timezone": False}, "#/timezone"),
    ({"visibility": "friends"}, "#/visibility"),
    ({"visibility": 1}, "#/visibility"),
    ({"nickname": "a"}, "#/nickname"),
    ({"user_id": "a"}, "#/user_id"),
    ({"version": 9}, "#/version"),
    ({"a/b~c": 1}, "#/a~1b~0c"),
    ([], "#"),
    ([{"bio": "x"}], "#"),
]


@pytest.mark.parametrize(("body", "pointer"), BAD_FIELDS, ids=lambda value: repr(value)[:40])
def test_a_wrong_field_is_named_and_nothing_is_written(as_alice, outbox_of, body, pointer):
    answer = as_alice.patch(ME, body)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == "validation_failed"
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert as_alice.get(ME).json["version"] == 1
    assert outbox_of(as_alice.person) == []


BAD_BYTES = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b'{"bio": "\xff"}', 400, "malformed_json"),
    (b'{"bio": "\\u0000"}', 400, "malformed_json"),
    (b'{"bio": "\\ud800"}', 400, "malformed_json"),
    (b'{"bio": NaN}', 400, "malformed_json"),
    (b'{"bio": "a", "bio": "b"}', 400, "malformed_json"),
    (b'"text"', 400, "malformed_json"),
    (b"null", 400, "malformed_json"),
    (b"[" * 20_000 + b"]" * 20_000, 400, "malformed_json"),
    (b'{"bio":' * 40 + b"1" + b"}" * 40, 400, "malformed_json"),
    (json.dumps({"bio": "x" * 2_000_000}).encode(), 413, "payload_too_large"),
]


@pytest.mark.parametrize(("data", "status", "code"), BAD_BYTES, ids=lambda value: repr(value)[:30])
def test_what_is_not_json_is_refused_with_the_reason(as_alice, data, status, code):
    answer = as_alice.patch(ME, data=data)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert as_alice.get(ME).json["version"] == 1


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_another_content_type_is_refused(as_alice, content_type):
    answer = as_alice.patch(ME, data=b'{"bio": "x"}', content_type=content_type)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_without_a_token_nothing_changes(app: Flask):
    assert app.test_client().patch(ME, json={"bio": "x"}).status_code == 401
