"""Which target is chosen, without I/O."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import choose


@dataclass
class Place:
    weight: float
    lead: float = 0.0
    is_full: bool = False


WEIGHTS = st.lists(st.integers(1, 50), min_size=1, max_size=8)


@given(WEIGHTS)
def test_each_gets_its_exact_share_of_a_round(weights: list[int]) -> None:
    places = [Place(weight) for weight in weights]
    for _ in range(2):
        chosen = [id(choose(places)) for _ in range(sum(weights))]
        assert [chosen.count(id(place)) for place in places] == weights


@given(WEIGHTS, st.integers(1, 400))
def test_at_no_moment_is_one_far_from_its_share(weights: list[int], calls: int) -> None:
    places = [Place(weight) for weight in weights]
    chosen = [id(choose(places)) for _ in range(calls)]
    for place in places:
        assert abs(chosen.count(id(place)) - calls * place.weight / sum(weights)) <= len(places)


@given(WEIGHTS)
def test_one_that_is_full_is_passed_over_and_none_is_chosen_when_all_are(weights: list[int]) -> None:
    places = [Place(weight) for weight in weights]
    places[0].is_full = True
    for _ in range(20):
        found = choose(places)
        assert found is not places[0] and (found is None) == (len(places) == 1)
