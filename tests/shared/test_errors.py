"""Every refusal is a problem document that names what is wrong, and nothing that is ours alone."""

import json
import re
from http import HTTPStatus
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given
from hypothesis import settings as how
from hypothesis import strategies as st

from shared.errors import MAX_FIELD_ERRORS, HTTPProblem
from shared.json_body import MAX_DEPTH
from tests.shared.service import SECRET
from tests.support.problems import pointers, problem

THINGS = "/things/v1/things"
THING = f"{THINGS}/0190f5fe-7c00-7a00-8000-000000000001"
GOOD = {"name": "ball", "count": 3}


def post(client: FlaskClient, body: bytes | str | Any, content_type: str = "application/json") -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.post(THINGS, data=data, content_type=content_type)


def test_an_unknown_address_is_a_404(client: FlaskClient) -> None:
    problem(client.get("/nothing/here"), 404, "not_found")


def test_a_wrong_method_is_a_405_that_says_which_are_possible(client: FlaskClient) -> None:
    answer = client.delete(THINGS)
    problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["Allow"].split(",")}


def test_an_invented_method_is_a_405_too(client: FlaskClient) -> None:
    problem(client.open(THINGS, method="BREW"), 405, "method_not_allowed")


def test_a_body_above_the_limit_is_a_413(client: FlaskClient) -> None:
    document = problem(post(client, b'{"name":"' + b"a" * 20_000 + b'"}'), 413, "payload_too_large")
    assert "20000" in document["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_another_content_type_is_a_415(client: FlaskClient, content_type: str) -> None:
    problem(post(client, GOOD, content_type), 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/merge-patch+json"])
def test_every_spelling_of_json_is_accepted(client: FlaskClient, content_type: str) -> None:
    assert post(client, GOOD, content_type).status_code == 201


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{]", "not valid JSON"),
        (b'{"name":"a","count":1}}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"name":"a\nb"}', "not valid JSON"),
        (b"7", "JSON object"),
        (b"null", "JSON object"),
        (b'"text"', "JSON object"),
        (b'{"name":"a","name":"b"}', "twice"),
        (b'{"extra":{"a":{"b":1,"b":2}}}', "twice"),
        (b'{"weight":NaN}', "NaN"),
        (b'{"weight":-Infinity}', "Infinity"),
        (b'{"weight":1e999}', "too large"),
        (b'{"count":9223372036854775808}', "64 bits"),
        (b'{"count":-9223372036854775809}', "64 bits"),
        (b'{"count":' + b"1" * 5000 + b"}", "64 bits"),
        (b'{"name":"a\\u0000"}', "U+0000"),
        (b'{"\\u0000":1}', "U+0000"),
        (b'{"extra":{"a":["\\ud800"]}}', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b'{"name":"\xff"}', "UTF-8"),
        (b'{"name":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"name":"\xc0\x80"}', "UTF-8"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deeper"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "413"),
        (b"[" * 9_000 + b"]" * 9_000, "deeper"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else value,
)
def test_what_is_no_sound_json_is_a_400_that_says_why(client: FlaskClient, body: bytes, word: str) -> None:
    if word == "413":
        problem(post(client, body), 413, "payload_too_large")
        return
    assert word in problem(post(client, body), 400, "malformed_json")["detail"]


def test_the_deepest_body_that_is_allowed_and_a_surrogate_pair_are_accepted(client: FlaskClient) -> None:
    deep: Any = "\U0001f600"
    for _ in range(MAX_DEPTH - 2):  # two levels are the body's own
        deep = [deep]
    assert post(client, {**GOOD, "extra": {"a": deep}}).status_code == 201
    assert post(client, {**GOOD, "extra": {"a": [deep]}}).status_code == 400


def test_the_integers_at_the_ends_of_64_bits_are_accepted(client: FlaskClient) -> None:
    assert post(client, {**GOOD, "extra": {"a": 2**63 - 1, "b": -(2**63)}}).status_code == 201


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"count": "3"}, "#/count"),
        ({"count": 3.5}, "#/count"),
        ({"count": True}, "#/count"),
        ({"count": -1}, "#/count"),
        ({"count": None}, "#/count"),
        ({"name": 5}, "#/name"),
        ({"name": "a" * 21}, "#/name"),
        ({"kind": "flat"}, "#/kind"),
        ({"weight": "1.5"}, "#/weight"),
        ({"made_at": "yesterday"}, "#/made_at"),
        ({"made_at": 0}, "#/made_at"),
        ({"parts": {}}, "#/parts"),
        ({"parts": [{"name": "a"}, {"name": 1}]}, "#/parts/1/name"),
        ({"parts": [{"name": "a", "x": 1}]}, "#/parts/0/x"),
        ({"a/b~c": 1}, "#/a~1b~0c"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_by_its_pointer(client: FlaskClient, change: dict[str, Any], pointer: str) -> None:
    document = problem(post(client, {**GOOD, **change}), 400, "validation_failed")
    assert pointers(document) == {pointer}
    assert document["detail"].startswith(pointer)


def test_all_wrong_fields_are_named_at_once_without_what_was_sent(client: FlaskClient) -> None:
    answer = post(client, {"name": 1, "count": "hunter2", "kind": "flat"})
    assert pointers(problem(answer, 400, "validation_failed")) == {"#/name", "#/count", "#/kind"}
    assert b"hunter2" not in answer.data and b"flat" not in answer.data


def test_a_list_where_an_object_belongs_is_a_400(client: FlaskClient) -> None:
    assert pointers(problem(post(client, [GOOD]), 400, "validation_failed")) == {"#"}


def test_a_body_of_a_thousand_unknown_names_gets_a_short_answer(client: FlaskClient) -> None:
    answer = post(client, {**GOOD, **{f"x{n}": 0 for n in range(1000)}})
    assert len(problem(answer, 400, "validation_failed")["errors"]) == MAX_FIELD_ERRORS


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("limit=0", "limit"), ("limit=many", "limit"), ("limit=", "limit"), ("colour=red", "colour")],
)
def test_a_wrong_query_parameter_is_named(client: FlaskClient, query: str, parameter: str) -> None:
    document = problem(client.get(f"{THINGS}?{query}"), 400, "validation_failed")
    assert [error["parameter"] for error in document["errors"]] == [parameter]


def test_a_wrong_part_of_the_path_is_named(client: FlaskClient) -> None:
    document = problem(client.get(f"{THINGS}/seven"), 400, "validation_failed")
    assert [error["parameter"] for error in document["errors"]] == ["thing_id"]


@pytest.mark.parametrize(
    "path", [b"/things/v1/names/\xff", b"/things/v1/names/\xed\xa0\x80", b"/things/v1/names/\0", b"/nowhere/\xc0\x80"]
)
def test_a_path_that_is_not_utf8_or_holds_nul_is_a_400(client: FlaskClient, path: bytes) -> None:
    problem(client.get(environ_overrides={"PATH_INFO": path.decode("latin-1")}), 400, "bad_request")


@pytest.mark.parametrize("query", ["word=%FF", "word=%ED%A0%80", "word=a%00", "%FF=1"])
def test_a_query_that_is_not_utf8_or_holds_nul_is_a_400(client: FlaskClient, query: str) -> None:
    problem(client.get(f"{THINGS}?{query}"), 400, "bad_request")


def test_an_address_in_any_script_is_read_as_it_was_meant(client: FlaskClient) -> None:
    assert client.get("/things/v1/names/Z%C3%BCrich%20%F0%9F%98%80").json == {"name": "Zürich 😀"}
    assert client.get(f"{THINGS}?word=%E4%B8%96+a%2Bb&tag=1&tag=2").json == {
        "limit": 20, "tag": ["1", "2"], "word": "世 a+b",
    }  # fmt: skip


def test_an_unexpected_exception_is_a_500_without_internals(client: FlaskClient) -> None:
    answer = client.get("/things/v1/broken")
    document = problem(answer, 500, "internal_error")
    assert SECRET not in answer.text and "hunter2" not in answer.text and "RuntimeError" not in answer.text
    assert "request id" in document["detail"]


@pytest.mark.parametrize("status", list(HTTPStatus), ids=str)
def test_a_code_is_always_one_snake_case_word(status: HTTPStatus) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", HTTPProblem(status, status.phrase, "…").code)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("name", "count", "weight", "kind", "made_at", "parts", "extra", "x"), json_values)
)


@how(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | fields.map(lambda body: json.dumps(body).encode()))
@example(body=b'{"name":"a","count":' + b"9" * 5000 + b"}")
def test_no_body_whatever_its_bytes_is_ever_a_500(client: FlaskClient, body: bytes) -> None:
    assert post(client, body).status_code in (201, 400)


@how(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.binary(max_size=40))
def test_no_header_query_or_path_whatever_its_bytes_is_ever_a_500(client: FlaskClient, value: bytes) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in value)
    header = value.decode("latin-1").replace("\r", "").replace("\n", "")
    headers = {"If-None-Match": header, "Authorization": f"Bearer {header}"}
    for address in (f"{THINGS}?limit={quoted}", f"{THINGS}?word={quoted}", f"{THINGS}?{quoted}", THING):
        assert client.get(address, headers=headers).status_code in (200, 304, 400), address
    path = {"PATH_INFO": f"/things/v1/names/{value.decode('latin-1')}"}
    assert client.get(environ_overrides=path, headers=headers).status_code in (200, 400, 404), value
