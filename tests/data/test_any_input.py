"""Whatever is sent, the answer is a success or a problem that says why, never a 500."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.ids import new_id
from tests.data.conftest import NOTES, note

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["collection", "id", "assumed_revision", "document", "deleted", "space_id"])
ROWS = st.lists(st.dictionaries(NAMES, ANY_JSON | st.just("notes") | st.uuids().map(str), max_size=6), max_size=3)
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SOME
@given(ANY_JSON)
def test_any_document_is_kept_as_it_is_or_refused(as_alice, document):
    path = note(new_id())
    answer = as_alice.put(path, document)
    if answer.status_code == 201:
        assert json.dumps(as_alice.get(path).json["document"]) == json.dumps(document)
    else:
        assert answer.status_code == 400
        assert answer.json.get("errors") or answer.json["code"] == "malformed_json"


@SOME
@given(ROWS | ANY_JSON)
def test_any_push_is_answered_or_refused(as_alice, rows):
    answer = as_alice.send("POST", "/data/v1/push", json.dumps({"rows": rows}).encode())
    assert answer.status_code in (200, 400)


@SOME
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(as_alice, data):
    for method, path in (("PUT", note()), ("POST", "/data/v1/push")):
        assert as_alice.send(method, path, data).status_code == 400


@SOME
@given(st.text(max_size=60), st.text(max_size=8))
def test_any_parameters_are_answered_or_refused(as_alice, text, number):
    for path, query in (
        (NOTES, {"cursor": text, "limit": number}),
        (NOTES, {"cursor": text}),
        ("/data/v1/changes", {"checkpoint": text}),
        ("/data/v1/changes", {"limit": number}),
    ):
        assert as_alice._app.test_client().get(
            path, query_string=query, headers=as_alice.person.headers
        ).status_code in (200, 400)  # fmt: skip
