"""What a shared cache may keep and for how long, by table (RFC 9111) and by property."""

from email.utils import formatdate
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.freshness import (
    LONGEST_S,
    Defaults,
    Terms,
    Wish,
    by_name,
    directives,
    http_date,
    initial_age,
    is_not_modified,
    seconds,
    terms,
    vary,
    wish,
)

NOW = 1_800_000_000.0
TABLE = Defaults(max_age_s=20, stale_s=7, stale_if_error_s=9)


def date(offset_s: float) -> bytes:
    return formatdate(NOW + offset_s, usegmt=True).encode()


def of(*lines: bytes) -> dict[bytes, bytes]:
    return by_name([line + b"\r\n" for line in lines])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"Cache-Control: max-age=60"], (60, 7, 9)),
        ([b"cache-control: MAX-AGE=60, public"], (60, 7, 9)),
        ([b'Cache-Control: max-age="60"'], (60, 7, 9)),
        ([b"Cache-Control: max-age=60, s-maxage=5"], (5, 0, 0)),
        ([b"Cache-Control: s-maxage=5, stale-while-revalidate=3, stale-if-error=4"], (5, 3, 4)),
        ([b"Cache-Control: max-age=60, stale-while-revalidate=0"], (60, 0, 9)),
        ([b"Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=3"], (60, 0, 0)),
        ([b"Cache-Control: max-age=60, proxy-revalidate"], (60, 0, 0)),
        ([b"Cache-Control: max-age=60, no-cache"], (0, 0, 0)),
        ([b'Cache-Control: max-age=60, no-cache="set-cookie"'], (0, 0, 0)),
        ([b"Cache-Control: max-age=1.5"], (0, 7, 9)),
        ([b"Cache-Control: max-age=-1"], (0, 7, 9)),
        ([b"Cache-Control: max-age"], (0, 7, 9)),
        ([b"Cache-Control: max-age=99999999999999999999999"], (0, 7, 9)),
        ([b"Cache-Control: max-age=9999999999"], (LONGEST_S, 7, 9)),
        ([b"Cache-Control: max-age=1, max-age=60"], (1, 7, 9)),
        ([b"Cache-Control: max-age=1", b"Cache-Control: s-maxage=60"], (60, 0, 0)),
        ([b"Cache-Control: public"], (20, 7, 9)),
        ([], (20, 7, 9)),
        ([b"Expires: " + date(30), b"Date: " + date(0)], (30, 7, 9)),
        ([b"Expires: " + date(30)], (30, 7, 9)),
        ([b"Expires: " + date(30), b"Date: " + date(-10)], (40, 7, 9)),
        ([b"Expires: " + date(-30)], (0, 7, 9)),
        ([b"Expires: 0"], (0, 7, 9)),
        ([b"Expires: " + date(30), b"Cache-Control: max-age=2"], (2, 7, 9)),
        ([b"Vary: accept", b"Cache-Control: max-age=2"], (2, 7, 9)),
        ([b"Cache-Control: no-store"], None),
        ([b"Cache-Control: max-age=60", b"Cache-Control: No-Store"], None),
        ([b"Cache-Control: private, max-age=60"], None),
        ([b'Cache-Control: private="x-user", max-age=60'], None),
        ([b"Cache-Control: max-age=60", b"Set-Cookie: a=1"], None),
        ([b"Cache-Control: max-age=60", b"Vary: *"], None),
        ([b"Cache-Control: max-age=60", b"Vary: accept, *"], None),
        ([b"Cache-Control: max-age=60", b"Content-Range: bytes 0-1/2"], None),
    ],
)
def test_the_terms_of_an_answer(lines: list[bytes], expected: tuple[float, float, float] | None) -> None:
    found = terms(200, of(*lines), TABLE, NOW)
    assert found == (None if expected is None else Terms(*expected))


@pytest.mark.parametrize(
    "status", [100, 101, 201, 204, 206, 302, 303, 304, 307, 400, 401, 403, 429, 500, 502, 503, 504]
)
def test_other_statuses_are_not_kept_whatever_they_say(status: int) -> None:
    assert terms(status, of(b"Cache-Control: public, max-age=60"), TABLE, NOW) is None


@pytest.mark.parametrize("status", [203, 301, 308, 404, 410])
def test_what_is_no_200_is_kept_only_for_as_long_as_it_says_itself(status: int) -> None:
    assert terms(status, of(), TABLE, NOW) == Terms(0, 0, 0)
    assert terms(status, of(b"Cache-Control: max-age=60"), TABLE, NOW) == Terms(60, 0, 0)


TOKENS = st.sampled_from(
    [b"max-age=60", b"s-maxage=9", b"public", b"immutable", b"stale-while-revalidate=9", b"stale-if-error=9", b"x=y",
     b"x", b"no-transform", b'x="a, b"', b"", b" ", b";", b"=", b"=5", b"max-age=", b"\xff"]
)  # fmt: skip


@given(st.lists(TOKENS), st.sampled_from([b"no-store", b"private", b"NO-STORE", b"private=x"]), st.lists(TOKENS))
def test_whatever_stands_around_it_a_refusal_to_be_kept_is_heard(
    before: list[bytes], refusal: bytes, after: list[bytes]
) -> None:
    value = b",".join([*before, refusal, *after])
    assert terms(200, {b"cache-control": value}, TABLE, NOW) is None


@given(st.binary(max_size=80))
def test_no_field_makes_the_reading_fail(value: bytes) -> None:
    fields = dict.fromkeys((b"cache-control", b"expires", b"date", b"age", b"vary", b"etag", b"last-modified"), value)
    found = terms(200, fields, TABLE, NOW)
    assert found is None or 0 <= found.lifetime_s <= LONGEST_S
    assert 0 <= initial_age(fields, NOW, 0) <= LONGEST_S
    wish(value, value)
    is_not_modified(value, value, fields)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_a_directive_after_a_comma_is_found_behind_anything_without_quotes(before: bytes, after: bytes) -> None:
    value = before.replace(b'"', b"") + b",no-store," + after.replace(b'"', b"")
    assert b"no-store" in directives(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'private="a, no-store", max-age=1', {b"private": b"a, no-store", b"max-age": b"1"}),
        (b'x="a\\", no-store", max-age=1', {b"x": b'a\\", no-store', b"max-age": b"1"}),
        (b'x="unclosed, no-store', {b"no-store": b""}),
        (b"max-age = 5", {b"max-age": b"5"}),
        (b"", {}),
    ],
)
def test_directives_are_read_with_their_quotes(value: bytes, expected: dict[bytes, bytes]) -> None:
    found = directives(value)
    assert {name: found[name] for name in expected} == expected and found.keys() <= expected.keys() | {b"max-age"}


@pytest.mark.parametrize(
    ("lines", "delay_s", "age"),
    [
        ([], 0, 0),
        ([b"Age: 10"], 0.5, 10.5),
        ([b"Date: " + date(-8)], 0.5, 8),
        ([b"Date: " + date(-8), b"Age: 10"], 0, 10),
        ([b"Date: " + date(8)], 2, 2),
        ([b"Age: later"], 0, 0),
        ([b"Age: 5, 60"], 0, 5),
    ],
)
def test_the_age_of_an_answer_as_it_arrives(lines: list[bytes], delay_s: float, age: float) -> None:
    assert initial_age(of(*lines), NOW, delay_s) == age


@pytest.mark.parametrize(
    ("cache_control", "pragma", "expected"),
    [
        (None, None, Wish()),
        (None, b"no-cache", Wish(most_age_s=-1)),
        (b"public", b"no-cache", Wish()),
        (b"no-cache", None, Wish(most_age_s=-1)),
        (b"max-age=0", None, Wish(most_age_s=-1)),
        (b"max-age=30, min-fresh=5", None, Wish(most_age_s=30, least_fresh_s=5)),
        (b"max-stale=100", None, Wish()),
        (b"no-store", None, Wish(is_refused=True)),
        (b"only-if-cached", None, Wish(only_if_cached=True)),
        (b"x," * 3_000 + b"no-store", None, Wish()),
    ],
)
def test_what_a_request_wishes(cache_control: bytes | None, pragma: bytes | None, expected: Wish) -> None:
    assert wish(cache_control, pragma) == expected


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_request_without_a_wish_takes_everything_that_is_fresh(age_s: float, lifetime_s: float) -> None:
    assert Wish().accepts(age_s, lifetime_s) is (lifetime_s >= age_s)
    assert not Wish(most_age_s=-1).accepts(age_s, inf)


ETAG, MODIFIED = b'ETag: "5"', b"Last-Modified: " + date(-100)


@pytest.mark.parametrize(
    ("none_match", "since", "lines", "is_good"),
    [
        (b'"5"', None, [ETAG], True),
        (b'W/"5"', None, [ETAG], True),
        (b'"4", "5"', None, [ETAG], True),
        (b'"4,5", "x"', None, [ETAG], False),
        (b"*", None, [], True),
        (b'"4"', None, [ETAG], False),
        (b'"5"', None, [], False),
        (b"5", None, [ETAG], False),
        (b'"4"', date(0), [ETAG, MODIFIED], False),
        (None, date(-100), [MODIFIED], True),
        (None, date(0), [MODIFIED], True),
        (None, date(-101), [MODIFIED], False),
        (None, b"yesterday", [MODIFIED], False),
        (None, date(0), [ETAG], False),
        (None, None, [ETAG, MODIFIED], False),
    ],
)
def test_a_clients_copy_is_good_if_its_condition_says_so(
    none_match: bytes | None, since: bytes | None, lines: list[bytes], is_good: bool
) -> None:
    assert is_not_modified(none_match, since, of(*lines)) is is_good


def test_names_in_vary_have_one_spelling_and_one_order() -> None:
    assert vary(of(b"Vary: Accept-Language, ACCEPT", b"vary: accept")) == (b"accept", b"accept-language")
    assert vary({}) == ()


def test_times_that_cannot_be_read_are_none() -> None:
    assert [http_date(value) for value in (None, b"", b"x", b"Mon, 99 Foo 2026 00:00:00 GMT")] == [None] * 4
    assert http_date(b"Sun, 06 Nov 1994 08:49:37 GMT") == 784111777
    assert [seconds(value) for value in (None, b"", b"7", b"7s")] == [None, 0.0, 7.0, 0.0]
