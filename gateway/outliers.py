"""When a target that fails again and again is left out, and for how long. Rules without I/O."""

from typing import Annotated

from pydantic import Field

from gateway.values import Percent, Seconds, Strict


class EjectionEntry(Strict):
    """After `failures` in a row (5xx, no connection, no answer) a target is left out for `base_s`.

    Each time again for `base_s` longer, up to `max_s`; never more than `max_percent` of an upstream's targets.
    """

    failures: Annotated[int, Field(ge=1, le=1000)] = 5
    base_s: Seconds = 30
    max_s: Seconds = 300
    max_percent: Percent = 50

    def most(self, targets: int) -> int:
        """How many of so many targets may be left out."""
        return targets * self.max_percent // 100


class Record:
    """What is remembered of one target. Good answers are counted by who sees them: that is the hot path."""

    def __init__(self, entry: EjectionEntry) -> None:
        self._entry = entry
        self._failures = 0
        self._good_before = 0
        self._ejections = 0
        self._lasts_s = 0.0
        self._ends_at = float("-inf")

    def fails(self, good: int, now: float) -> bool:
        """True if the target should be left out. `good` is how many good answers it has ever given."""
        if self.is_out(now):
            return False
        if good != self._good_before:
            self._good_before, self._failures = good, 0
        self._failures += 1
        return self._failures >= self._entry.failures

    def eject(self, now: float) -> None:
        """Leave it out. One that has stayed in for as long as it was out begins anew."""
        if now - self._ends_at > self._lasts_s:
            self._ejections = 0
        self._ejections += 1
        self._lasts_s = min(self._entry.max_s, self._entry.base_s * self._ejections)
        self._ends_at = now + self._lasts_s
        self._failures = 0

    def is_out(self, now: float) -> bool:
        return now < self._ends_at
