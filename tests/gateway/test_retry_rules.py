"""Budget and backoff, without I/O."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.retries import BUDGET_S, Budget, BudgetEntry, Retries, RetriesEntry

ENDS = st.lists(st.tuples(st.floats(0, 2), st.integers(0, 50), st.integers(0, 20)), max_size=60)


@given(st.integers(0, 100), st.floats(0, 20), ENDS)
def test_a_budget_is_never_overdrawn(percent: int, least: float, steps: list[tuple[float, int, int]]) -> None:
    budget = Budget(BudgetEntry(percent=percent, min_per_s=least))
    now = 0.0
    calls: list[tuple[float, int]] = []
    taken: list[float] = []
    for passed_s, ended, wanted in steps:
        now += passed_s
        budget.count(ended, now)
        calls.append((now, ended))
        taken += [now for _ in range(wanted) if budget.take(now)]
        window_s = BUDGET_S * 1.1  # a slot may be a tenth longer in it
        in_window = sum(count for at, count in calls if now - at <= window_s)
        assert sum(now - at < BUDGET_S * 0.9 for at in taken) <= in_window * percent / 100 + least * BUDGET_S + 1e-6


@given(st.floats(0.1, 20))
def test_a_budget_allows_the_least_whatever_happened(least: float) -> None:
    budget = Budget(BudgetEntry(percent=0, min_per_s=least))
    taken = sum(budget.take(1.0) for _ in range(500))
    assert least * BUDGET_S - 1 - 1e-6 <= taken <= least * BUDGET_S


@given(st.integers(1, 9), st.floats(0.001, 1), st.floats(0.001, 10))
def test_the_wait_grows_up_to_its_limit_and_is_partly_chance(tries: int, first: float, longest: float) -> None:
    retries = Retries.of(RetriesEntry(backoff_s=first, max_backoff_s=longest))
    assert 0 <= retries.wait_s(tries) <= min(longest, first * 2 ** (tries - 1))


def test_a_route_says_only_what_it_has_otherwise() -> None:
    retries = Retries.of(RetriesEntry(attempts=3, per_try_s=2), RetriesEntry(statuses=[500], attempts=2))
    assert (retries.attempts, retries.statuses, retries.per_try_s) == (2, {500}, 2)
