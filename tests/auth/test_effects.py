"""The statistics of `make timing`, on times that are made up: they find a difference that is there, and no other."""

import random
from itertools import product

import pytest

from tests.load.effects import compare, mann_whitney


def _times(seed: int, shift_ms: float, count: int = 150) -> list[float]:
    """Answers of about 10 ms with the long tail that a busy machine gives them."""
    draw = random.Random(seed)
    return [(10 + shift_ms + draw.gauss(0, 1) + draw.expovariate(0.5)) / 1000 for _ in range(count)]


def test_the_rank_test_counts_pairs_and_ties_half() -> None:
    first, second = [1.0, 2.0, 2.0, 5.0], [0.0, 2.0, 3.0]
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(first, second)]
    assert mann_whitney(first, second)[0] == pytest.approx(sum(pairs) / len(pairs))
    assert mann_whitney([1.0] * 9, [1.0] * 9) == (0.5, 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_distribution_is_never_taken_for_two(seed: int) -> None:
    effect = compare(_times(seed, 0), _times(seed + 100, 0))
    assert not effect.matters(0.5, 0.05)
    assert effect.low_ms <= effect.difference_ms <= effect.high_ms


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift_ms", [2.5, -2.5])
def test_a_difference_that_somebody_could_use_is_found(seed: int, shift_ms: float) -> None:
    effect = compare(_times(seed, shift_ms), _times(seed + 100, 0))
    assert effect.matters(0.5, 0.05)
    assert (effect.superiority > 0.5) == (shift_ms > 0)


def test_a_difference_too_small_to_be_used_is_not_called_one_however_sure_it_is() -> None:
    effect = compare(_times(1, 0.4, 2500), _times(2, 0, 2500))
    assert effect.p < 0.001
    assert not effect.matters(0.5, 0.05)
