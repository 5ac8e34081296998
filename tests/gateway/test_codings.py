"""Content negotiation by table and by property, and ETags that tell codings apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codings import CODINGS, choose, tag_of, tag_sent, tags_upstream

NAMES = [*CODINGS, b"identity", b"*", b"deflate", b"compress"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, None),
        (b"", None),
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"compress, gzip", b"gzip"),
        (b"deflate", None),
        (b"*", b"zstd"),
        (b"*;q=0", None),
        (b"gzip, deflate, br", b"br"),
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"compress;q=0.5, gzip;q=1.0", b"gzip"),
        (b"gzip;q=1.0, identity; q=0.5, *;q=0", b"gzip"),
        (b"br;q=0.8, gzip;q=0.9", b"gzip"),
        (b"br;q=0.8, gzip;q=0.8", b"br"),
        (b"gzip;q=0", None),
        (b"gzip;q=0, *", b"zstd"),
        (b"zstd;q=0, br;q=0.0, *;q=0.3", b"gzip"),
        (b"identity, gzip;q=0.5", None),
        (b"identity;q=0.5, gzip;q=0.4", None),
        (b"identity;q=0", None),
        (b"identity;q=0.5, gzip;q=0.5", b"gzip"),
        (b"identity;q=0, gzip;q=0.001", b"gzip"),
        (b"identity, gzip", b"gzip"),
        (b"gzip ;  Q=0.7 , br;q=0.1", b"gzip"),
        (b"gzip;q=2", None),
        (b"gzip;q=-1", None),
        (b"gzip;q=0.1234", None),
        (b"gzip;q=nan", None),
        (b"gzip;level=9", None),
        (b"gzip;q", None),
        (b",, ,gzip,", b"gzip"),
        (b"gzip;q=0, gzip", b"gzip"),
        (b"gzipped, brotli, zstandard", None),
        (b"\xff\xfe, gzip", b"gzip"),
    ],
)
def test_the_coding_the_client_likes_best_is_chosen(accept: bytes | None, chosen: bytes | None) -> None:
    assert choose(accept) == chosen


def test_a_field_longer_than_any_client_means_it_is_not_read() -> None:
    assert choose(b"gzip;q=0.1," * 20 + b"br") == b"br"
    assert choose(b"gzip;q=0.1," * 3_000 + b"br") is None


weights = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1000), min_size=1)


def rendered(wanted: dict[bytes, int]) -> bytes:
    return b", ".join(b"%b;q=%d.%03d" % (name, weight // 1000, weight % 1000) for name, weight in wanted.items())


@given(weights)
def test_no_coding_is_chosen_that_the_client_likes_less_than_another_or_not_at_all(wanted: dict[bytes, int]) -> None:
    chosen = choose(rendered(wanted))
    liked = {coding: wanted.get(coding, wanted.get(b"*", 0)) for coding in CODINGS}
    if chosen is None:
        assert max(liked.values()) < wanted.get(b"identity", 0) or not any(liked.values())
    else:
        assert liked[chosen] == max(liked.values()) > 0
        assert liked[chosen] >= wanted.get(b"identity", 0)


@given(weights, st.randoms(use_true_random=False))
def test_the_order_of_the_codings_does_not_matter(wanted: dict[bytes, int], random) -> None:
    items = list(wanted.items())
    random.shuffle(items)
    assert choose(rendered(dict(items))) == choose(rendered(wanted))


@given(st.binary(max_size=60))
def test_no_field_makes_the_choice_fail(field: bytes) -> None:
    assert choose(field) in (None, *CODINGS)


TAGS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='";'), max_size=12)
SENT = st.lists(st.tuples(TAGS.map(str.encode), st.booleans(), st.sampled_from(CODINGS)), min_size=1, max_size=4)


@given(SENT)
def test_a_client_that_sends_back_what_it_got_sends_the_services_own_tags(
    tags: list[tuple[bytes, bool, bytes]],
) -> None:
    own = [(b'W/"%b"' if is_weak else b'"%b"') % tag for tag, is_weak, _ in tags]
    sent = [tag_of(tag, coding) for tag, (_, _, coding) in zip(own, tags, strict=True)]
    assert tags_upstream(b", ".join(sent)) == b", ".join(own)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_strong_tag_names_the_coding_and_a_weak_one_does_not(coding: bytes) -> None:
    assert tag_of(b'"5"', coding) == b'"5;%b"' % coding
    assert tag_of(b'W/"5"', coding) == b'W/"5"'
    assert tags_upstream(b'"4", "5;%b" , W/"6"' % coding) == b'"4", "5" , W/"6"'


@pytest.mark.parametrize("condition", [b"*", b'"a"', b'W/"a"', b'";gzip;x"', b"", b'"a;deflate"'])
def test_conditions_without_a_tag_of_ours_stay_as_they_are(condition: bytes) -> None:
    assert tags_upstream(condition) == condition


def test_a_304_names_the_copy_the_client_has() -> None:
    assert tag_sent(b'"4;gzip", "5;br"', b'"5"') == b'"5;br"'
    assert tag_sent(b'"5"', b'"5"') == b'"5"'
    assert tag_sent(b'"4;gzip"', b'"5"') == b'"5"'
    assert tag_sent(b'W/"5"', b'W/"5"') == b'W/"5"'
