"""A bucket told by the clock is a bucket that is filled drop by drop."""

from fractions import Fraction
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import SLACK_S, Buckets, Limit, Rule

STEPS = st.lists(st.integers(0, 5_000).map(lambda milliseconds: Fraction(milliseconds, 1000)), max_size=120)
LIMITS = st.builds(
    lambda requests, per_s, burst: Limit("x", "ip", requests, per_s, burst),
    st.integers(1, 200),
    st.integers(1, 120),
    st.integers(1, 60),
)


@given(LIMITS, STEPS)
def test_what_passes_is_what_a_bucket_of_tokens_lets_pass(limit: Limit, steps: list[Fraction]) -> None:
    rule = Rule.of(limit)
    buckets = Buckets(rule, 100)
    rate, burst = Fraction(int(limit.requests), int(limit.per_s)), Fraction(int(limit.burst))
    tokens, before = burst, Fraction(0)
    for now in accumulate(steps):
        tokens, before = min(burst, tokens + (now - before) * rate), now
        ahead_s = buckets.take("x", float(now) + 1e6)
        passes = ahead_s <= rule.tolerance_s + SLACK_S
        if abs(tokens - 1) > Fraction(1, 10_000):  # on the very edge rounding may decide
            assert passes == (tokens >= 1)
        tokens -= passes
        if passes and abs(tokens - round(tokens)) > Fraction(1, 1000):
            assert rule.left(ahead_s) == int(tokens)
        if not passes:
            assert rule.wait_s(ahead_s) >= (1 - tokens) / rate - Fraction(1, 1000)


@given(LIMITS, STEPS, st.integers(2, 40))
def test_clients_that_come_and_go_are_forgotten_only_when_their_buckets_are_full(
    limit: Limit, steps: list[Fraction], clients: int
) -> None:
    """With room for all, a bucket among others behaves as one that is alone."""
    rule = Rule.of(limit)
    together, alone = Buckets(rule, 1_000), {number: Buckets(rule, 2) for number in range(clients)}
    for count, now in enumerate(accumulate(steps)):
        who = count * 7 % clients
        assert abs(together.take(str(who), float(now)) - alone[who].take("x", float(now))) < 1e-6
    assert len(together) <= clients


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 50)), max_size=300), st.integers(2, 60))
def test_there_are_never_more_buckets_than_allowed(asked: list[tuple[int, int]], size: int) -> None:
    buckets = Buckets(Rule.of(Limit("x", "ip", 5, 10, 5)), size)
    now = 0.0
    for who, step in asked:
        now += step / 10
        buckets.take(str(who), now)
        assert len(buckets) <= size


@given(LIMITS, st.integers(1, 8))
def test_the_shares_of_all_workers_are_the_whole(limit: Limit, workers: int) -> None:
    shares = [Rule.of(limit, share=1 / workers) for _ in range(workers)]
    assert abs(sum(1 / rule.interval_s for rule in shares) - limit.requests / limit.per_s) < 1e-6
    assert sum(rule.tolerance_s / rule.interval_s for rule in shares) <= max(limit.burst, workers) + 1e-6
