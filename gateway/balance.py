"""Which of several targets a call goes to: smooth weighted round robin.

Exact shares, also for a canary that gets one call in a hundred, and no clumps. Not the least busy one: a target that
fails at once is always the least busy, and would get the most calls until it is found out.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Weighted(Protocol):
    """`lead` is the choice's own: how far a target is ahead of its share in being due."""

    weight: float
    lead: float

    @property
    def is_full(self) -> bool: ...


T = TypeVar("T", bound=Weighted)


def choose(targets: Iterable[T]) -> T | None:
    """The target that is due; a full one waits for its turn until it has room. None if all are full, or there is none.

    Every target gains its weight, the one furthest ahead is taken and pays what all have gained.
    """
    best: T | None = None
    gained = 0.0
    for target in targets:
        if target.is_full:
            continue
        gained += target.weight
        target.lead += target.weight
        if best is None or target.lead > best.lead:
            best = target
    if best is not None:
        best.lead -= gained
    return best
