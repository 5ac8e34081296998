"""When a target is left out, without I/O: by its health checks, and by its failures."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.health import Health, HealthEntry
from gateway.outliers import EjectionEntry, Record


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.booleans(), min_size=1, max_size=60))
def test_only_so_many_answers_in_a_row_change_what_is_thought_of_it(
    healthy: int, unhealthy: int, answers: list[bool]
) -> None:
    health = Health(HealthEntry(path="/readyz", healthy=healthy, unhealthy=unhealthy))
    state = None
    for count, is_good in enumerate(answers):
        changed = health.note(is_good)
        if state is None:  # the first decides alone
            assert health.is_good == is_good and changed == (not is_good)
        else:
            wanted = healthy if is_good else unhealthy
            row = answers[max(0, count + 1 - wanted) : count + 1]
            if changed:
                assert row == [is_good] * wanted and health.is_good == is_good != state
            else:
                assert health.is_good == state
        state = health.is_good


@given(st.integers(1, 10), st.lists(st.booleans(), max_size=80))
def test_a_good_answer_in_between_begins_the_count_anew(failures: int, answers: list[bool]) -> None:
    record = Record(EjectionEntry(failures=failures))
    good = in_a_row = 0
    for is_good in answers:
        if is_good:
            good, in_a_row = good + 1, 0
        else:
            in_a_row += 1
            assert record.fails(good, 1.0) == (in_a_row >= failures)


@given(st.floats(1, 60), st.floats(60, 600), st.integers(1, 20))
def test_each_time_it_is_out_longer_up_to_the_limit_until_it_has_behaved(base: float, most: float, times: int) -> None:
    record = Record(EjectionEntry(failures=1, base_s=base, max_s=most))
    now = 1.0
    for number in range(1, times + 1):
        assert record.fails(0, now)
        record.eject(now)
        lasts = min(most, base * number)
        assert record.is_out(now + lasts * 0.99) and not record.fails(0, now + lasts * 0.5)
        now += lasts * 1.01
        assert not record.is_out(now)
    now += most * 2
    record.eject(now)
    assert not record.is_out(now + base * 1.01)


@given(st.integers(1, 50), st.integers(0, 100))
def test_never_more_than_the_share_may_be_out(targets: int, percent: int) -> None:
    assert EjectionEntry(max_percent=percent).most(targets) * 100 <= targets * percent
