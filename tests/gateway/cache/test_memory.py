"""The cache's memory: bounded in bytes, variants told apart, what was written to forgotten."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.cache import MOST_REFUSED, MOST_VARIANTS, OVERHEAD_BYTES, REFUSED_S, Cache, Entry, Key, Policy
from gateway.freshness import Defaults, Terms, by_name

POLICY = Policy("/public/*", "data", "http://127.0.0.1:1", Defaults(), 5.0, frozenset({b"accept-language"}))


def key(target: bytes = b"/public/a", host: bytes = b"a.example", policy: Policy = POLICY) -> Key:
    return Key(policy, b"http " + host, target)


def entry(at: Key, body: bytes = b"x", *, vary: bytes = b"", values: tuple[bytes, ...] = ()) -> Entry:
    fields = [b"vary: " + vary + b"\r\n"] if vary else []
    return Entry(at, values, 200, fields, by_name(fields), body, Terms(60, 0, 0), 0.0, 0.0)


def asks(**fields: str) -> Callable[[bytes], bytes]:
    return lambda name: fields.get(name.decode().replace("-", "_"), "").encode()


def test_what_was_kept_is_found_under_its_own_key_only() -> None:
    cache = Cache(100_000, 10_000)
    kept = entry(key())
    assert cache.put(kept) and cache.get(key(), asks()) is kept
    others = [
        key(b"/public/a?"),
        key(b"/public/A"),
        key(host=b"b.example"),
        Key(POLICY, b"https a.example", b"/public/a"),
    ]
    assert [cache.get(other, asks()) for other in others] == [None] * 4


def test_the_values_of_what_vary_names_tell_variants_apart() -> None:
    cache = Cache(100_000, 10_000)
    english, german = (
        entry(key(), body, vary=b"accept-language", values=(body,)) for body in (b"en", b"de")
    )  # fmt: skip
    assert cache.put(english) and cache.put(german)
    assert cache.get(key(), asks(accept_language="en")) is english
    assert cache.get(key(), asks(accept_language="de")) is german
    assert cache.get(key(), asks(accept_language="fr")) is None and cache.get(key(), asks()) is None


def test_an_answer_that_varies_by_other_fields_replaces_all_variants() -> None:
    cache = Cache(100_000, 10_000)
    cache.put(entry(key(), vary=b"accept-language", values=(b"en",)))
    later = entry(key(), vary=b"accept", values=(b"en",))
    cache.put(later)
    assert cache.get(key(), asks(accept="en")) is later
    assert cache.get(key(), asks(accept_language="en")) is None and len(cache) == 1


def test_variants_of_one_address_are_few() -> None:
    cache = Cache(1_000_000, 10_000)
    for number in range(3 * MOST_VARIANTS):
        cache.put(entry(key(), vary=b"accept-language", values=(b"%d" % number,)))
    assert len(cache) == MOST_VARIANTS
    assert cache.get(key(), asks(accept_language=str(3 * MOST_VARIANTS - 1))) is not None


def test_the_entry_that_was_not_asked_for_longest_leaves_first() -> None:
    cache = Cache(3 * (OVERHEAD_BYTES + 1_100), 10_000)
    for name in (b"/a", b"/b", b"/c"):
        cache.put(entry(key(name), b"x" * 1_000))
    assert cache.get(key(b"/a"), asks()) is not None
    cache.put(entry(key(b"/d"), b"x" * 1_000))
    assert [cache.get(key(name), asks()) is not None for name in (b"/a", b"/b", b"/c", b"/d")] == [
        True,
        False,
        True,
        True,
    ]
    assert cache.evicted == 1


def test_what_is_too_large_is_not_kept_and_neither_is_what_it_replaces() -> None:
    cache = Cache(100_000, 1_000)
    assert cache.put(entry(key()))
    assert not cache.put(entry(key(), b"x" * 1_001))
    assert cache.get(key(), asks()) is None and cache.bytes == 0


def test_a_body_in_another_coding_counts_too() -> None:
    cache = Cache(OVERHEAD_BYTES * 3, 10_000)
    kept = entry(key())
    cache.put(kept)
    before = cache.bytes
    kept.packed[b"gzip"] = b"x" * 500
    cache.grown(kept)
    assert cache.bytes == before + 500
    kept.packed[b"br"] = b"x" * OVERHEAD_BYTES * 3
    cache.grown(kept)
    assert (len(cache), cache.bytes) == (0, 0)
    cache.grown(kept)
    assert cache.bytes == 0


def test_a_write_forgets_every_query_host_and_route_of_the_path_at_that_service() -> None:
    cache = Cache(100_000, 10_000)
    other_route = Policy("/renamed", "data", "http://127.0.0.1:1", Defaults(), 5.0, frozenset())
    written = [key(), key(b"/public/a?x=1"), key(host=b"b.example"), key(policy=other_route)]
    kept = [key(b"/public/ab"), key(b"/public"), key(policy=Policy("/p", "auth", "", Defaults(), 5.0, frozenset()))]
    for each in (*written, *kept):
        cache.put(entry(each))
    cache.invalidate(("data", b"/public/a"))
    assert [cache.get(each, asks()) for each in written] == [None] * 4
    assert all(cache.get(each, asks()) for each in kept)


def test_a_changed_policy_loses_what_was_kept_and_an_equal_one_does_not() -> None:
    cache = Cache(100_000, 10_000)
    cache.put(entry(key()))
    same = Policy("/public/*", "data", "http://127.0.0.1:1", Defaults(), 5.0, frozenset({b"accept-language"}))
    cache.keep_only([same])
    assert cache.get(key(policy=same), asks()) is not None
    cache.keep_only([Policy("/public/*", "data", "http://127.0.0.1:2", Defaults(), 5.0, frozenset())])
    assert (len(cache), cache.bytes) == (0, 0)


def test_addresses_that_cannot_be_kept_are_remembered_for_a_while_and_not_without_end() -> None:
    cache = Cache(100_000, 10_000)
    for number in range(MOST_REFUSED + 10):
        cache.refuse(key(b"/%d" % number), 0.0)
    assert not cache.is_refused(key(b"/0"), 1.0) and cache.is_refused(key(b"/%d" % MOST_REFUSED), 1.0)
    assert not cache.is_refused(key(b"/%d" % MOST_REFUSED), REFUSED_S)


STEPS = st.sampled_from(["put", "get", "drop", "write", "grow"])
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "drop", "write", "grow"]),
        st.integers(0, 5),
        st.integers(0, 3),
        st.integers(0, 3_000),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_the_bytes_are_those_of_the_entries_and_never_too_many(
    happened: list[tuple[str, int, int, int]],
) -> None:
    cache = Cache(9_000, 2_500)
    entries: list[Entry] = []
    for what, target, variant, size in happened:
        at = key(b"/%d" % target)
        if what == "put":
            entries.append(entry(at, b"x" * size, vary=b"accept-language", values=(b"%d" % variant,)))
            cache.put(entries[-1])
        elif what == "get":
            found = cache.get(at, asks(accept_language=str(variant)))
            assert found is None or (found.key == at and found.variant == (b"%d" % variant,))
        elif what == "drop":
            cache.drop(at)
        elif what == "write":
            cache.invalidate(at.place)
        elif entries:
            entries[size % len(entries)].packed[b"br"] = b"x" * size
            cache.grown(entries[size % len(entries)])
        alive = [one for one in entries if cache.get(one.key, lambda _, one=one: one.variant[0]) is one]
        assert cache.bytes == sum(one.size for one in alive) <= cache.most_bytes
        assert len(cache) == len(alive)
    for target in range(6):
        cache.drop(key(b"/%d" % target))
    assert (cache.bytes, len(cache)) == (0, 0)
