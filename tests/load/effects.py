"""Whether two samples of times differ, and by how much: rank statistics, for times have long tails."""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

RESAMPLES, CONFIDENCE = 1_000, 0.99
SIGNIFICANT = 0.001


@dataclass(frozen=True)
class Effect:
    """`superiority` is how often one of the first takes longer than one of the second: 0.5 says nothing at all.

    `low_ms` to `high_ms` is where the difference of the medians lies, with 99 % confidence (bootstrap).
    """

    first_ms: float
    second_ms: float
    difference_ms: float
    low_ms: float
    high_ms: float
    superiority: float
    p: float

    def matters(self, least_ms: float, least_share: float) -> bool:
        """True if the difference is real and surely larger than what anybody could make use of."""
        limit_ms = max(least_ms, least_share * self.second_ms)
        return self.p < SIGNIFICANT and (self.low_ms > limit_ms or self.high_ms < -limit_ms)


def compare(first: Sequence[float], second: Sequence[float], seed: int = 1) -> Effect:
    """Compare times in seconds."""
    choose = random.Random(seed)
    differences = sorted(
        _median_ms(choose.choices(first, k=len(first))) - _median_ms(choose.choices(second, k=len(second)))
        for _ in range(RESAMPLES)
    )
    tail = int(RESAMPLES * (1 - CONFIDENCE) / 2)
    superiority, p = mann_whitney(first, second)
    return Effect(
        _median_ms(first),
        _median_ms(second),
        _median_ms(first) - _median_ms(second),
        differences[tail],
        differences[-1 - tail],
        superiority,
        p,
    )


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The share of pairs in which the first is larger (ties count half), and the two-sided p (normal approximation)."""
    n, m = len(first), len(second)
    marked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks, rank, ties = 0.0, 1, 0.0
    for _, tied in groupby(marked, key=lambda one: one[0]):
        group = [side for _, side in tied]
        ranks += group.count(0) * (rank + (len(group) - 1) / 2)
        ties += len(group) ** 3 - len(group)
        rank += len(group)
    u = ranks - n * (n + 1) / 2
    spread = math.sqrt(n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1))))
    z = (u - n * m / 2) / spread if spread else 0.0
    return u / (n * m), math.erfc(abs(z) / math.sqrt(2))


def _median_ms(values: Sequence[float]) -> float:
    return statistics.median(values) * 1000
