"""GET /data/v1/spaces/{space_id}/collections/{collection}/documents"""

import base64

import pytest
from flask import Flask

from services.data import store
from shared.ids import new_id
from tests.data.conftest import NOTES, note


def all_pages(client, limit: int) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        answer = client.get(f"{NOTES}?limit={limit}" + (f"&cursor={cursor}" if cursor else "")).json
        pages.append([item["id"] for item in answer["items"]])
        cursor = answer["next_cursor"]
        if cursor is None:
            return pages


def test_pages_hold_every_live_document_once_in_the_order_of_ids(as_alice):
    ids = sorted(str(new_id()) for _ in range(7))
    for document_id in reversed(ids):
        as_alice.put(note(document_id), {"n": 1})
    as_alice.put(note(ids[3]).replace("notes", "lists"), {"n": 1})
    as_alice.delete(note(ids[0]))
    assert all_pages(as_alice, 2) == [ids[1:3], ids[3:5], ids[5:7]]
    assert all_pages(as_alice, 200) == [ids[1:]]


def test_an_empty_collection_is_an_empty_page(as_alice):
    assert as_alice.get(NOTES).json == {"items": [], "next_cursor": None}


def test_items_look_like_the_documents_themselves(as_alice):
    path = note()
    as_alice.put(path, {"n": 1})
    assert as_alice.get(NOTES).json["items"] == [as_alice.get(path).json]


def test_documents_deleted_between_two_pages_do_not_shift_the_next(as_alice):
    ids = sorted(str(new_id()) for _ in range(4))
    for document_id in ids:
        as_alice.put(note(document_id), {"n": 1})
    first = as_alice.get(f"{NOTES}?limit=2").json
    as_alice.delete(note(ids[0]))
    second = as_alice.get(f"{NOTES}?limit=2&cursor={first['next_cursor']}").json
    assert [item["id"] for item in second["items"]] == ids[2:]


def test_a_page_ends_before_it_grows_too_large(as_alice, monkeypatch):
    monkeypatch.setattr(store, "MAX_PAGE_BYTES", 100)
    for _ in range(3):
        as_alice.put(note(), {"text": "x" * 60})
    assert [len(page) for page in all_pages(as_alice, 50)] == [1, 1, 1]


def test_nobody_else_can_list(as_alice, as_mallory):
    as_alice.put(note(), {"n": 1})
    assert as_mallory.get(NOTES.replace("me", as_alice.space_id(), 1)).status_code == 404
    assert as_mallory.get(NOTES).json["items"] == []


WRONG = [("limit", "0"), ("limit", "201"), ("limit", "-1"), ("limit", "ten"), ("limit", "1e3"), ("limit", ""),
         ("cursor", "x"), ("cursor", "é" * 20), ("cursor", "a" * 65), ("cursor", ""), ("sort", "id"),
         ("cursor", base64.urlsafe_b64encode(b"15 bytes long!!").decode())]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_parameter_is_named(as_alice, name, value):
    answer = as_alice.get(f"{NOTES}?{name}={value}")
    assert answer.status_code == 400
    assert answer.json["code"] == "validation_failed"
    assert [error["parameter"] for error in answer.json["errors"]] == [name]


def test_without_a_token_nothing_is_listed(app: Flask):
    assert app.test_client().get(NOTES).status_code == 401
