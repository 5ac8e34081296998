"""Whether a call is made again, when, and how many of all calls may be. Rules without I/O."""

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from gateway.values import Percent, Seconds, Strict
from gateway.window import Window

BUDGET_S = 10.0  # the time over which a budget is reckoned


class RetriesEntry(Strict):
    """At most `attempts` tries, the first included; answers of these `statuses` count as failed.

    Between them `backoff_s`, doubled each time up to `max_backoff_s`, any part of it by chance. `per_try_s` ends a try
    that may be repeated before `first_byte_s` does.
    """

    attempts: Annotated[int, Field(ge=1, le=10)] | None = None
    statuses: list[Annotated[int, Field(ge=500, le=599)]] | None = None
    backoff_s: Seconds | None = None
    max_backoff_s: Seconds | None = None
    per_try_s: Seconds | None = None


class BudgetEntry(Strict):
    """Of the calls of the last ten seconds so many percent may be made again, and `min_per_s` each second anyway."""

    percent: Percent = 20
    min_per_s: Annotated[float, Field(ge=0, le=10_000)] = 3


@dataclass(frozen=True, slots=True)
class Retries:
    """What a route says of them."""

    attempts: int = 1
    statuses: frozenset[int] = frozenset({502, 503, 504})
    backoff_s: float = 0.025
    max_backoff_s: float = 0.25
    per_try_s: float | None = None

    @classmethod
    def of(cls, *entries: RetriesEntry) -> "Retries":
        """The defaults, and what later entries say instead."""
        said = {name: value for entry in entries for name, value in entry.model_dump(exclude_none=True).items()}
        if "statuses" in said:
            said["statuses"] = frozenset(said["statuses"])
        return cls(**said)

    def wait_s(self, tries: int) -> float:
        """How long to wait after so many tries: by chance, so that those who failed together come apart."""
        longest = min(self.max_backoff_s, self.backoff_s * 2.0 ** (tries - 1))
        return random.uniform(0, longest)  # noqa: S311 - spreads load, guards nothing


NO_RETRIES = Retries()


class Budget:
    """Keeps a service that fails from being asked twice as often."""

    def __init__(self, entry: BudgetEntry) -> None:
        self._entry = entry
        self._calls = Window(BUDGET_S)
        self._taken = Window(BUDGET_S)

    def count(self, calls: int, now: float) -> None:
        """Take account of calls that have ended."""
        self._calls.add(calls, 0, now)

    def take(self, now: float) -> bool:
        """True if one more call may be made again."""
        calls, _ = self._calls.sums(now)
        taken, _ = self._taken.sums(now)
        if taken + 1 > calls * self._entry.percent / 100 + self._entry.min_per_s * BUDGET_S:
            return False
        self._taken.add(1, 0, now)
        return True
