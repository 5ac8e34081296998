"""A circuit breaker, rules without I/O: a service that mostly fails is left alone, then one call tries it again."""

from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from gateway.values import Seconds, Strict
from gateway.window import Window

State = Literal["closed", "open", "half_open"]
CLOSED: State = "closed"
OPEN: State = "open"
HALF_OPEN: State = "half_open"
STATES: tuple[State, ...] = (CLOSED, OPEN, HALF_OPEN)


class BreakerEntry(Strict):
    """Opens when `failures_percent` of at least `requests` calls in `window_s` have failed, for `open_s`.

    A probe that fails doubles that, up to `max_open_s`.
    """

    failures_percent: Annotated[int, Field(ge=1, le=100)] = 50
    requests: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    window_s: Seconds = 10
    open_s: Seconds = 5
    max_open_s: Seconds = 15


class Breaker:
    """Closed: all calls pass. Open: none. Half open: one, the probe, whose end decides."""

    def __init__(self, entry: BreakerEntry) -> None:
        self.state = CLOSED
        self._entry = entry
        self._window = Window(entry.window_s)
        self._openings = 0  # since it was last closed
        self._ends_at = 0.0

    def count(self, good: int, bad: int, now: float) -> None:
        """Take account of calls that have ended; those begun before it opened say nothing new."""
        if self.state != CLOSED:
            return
        self._window.add(good, bad, now)
        if bad:
            goods, bads = self._window.sums(now)
            total = goods + bads
            if total >= self._entry.requests and bads * 100 >= self._entry.failures_percent * total:
                self._open(now)

    def admits(self, now: float) -> bool:
        """True if a call may pass; while this is not closed, it is the probe, and `probe_over` must follow."""
        if self.state == CLOSED:
            return True
        if self.state == OPEN and now >= self._ends_at:
            self.state = HALF_OPEN
            return True
        return False

    def probe_over(self, is_good: bool | None, now: float) -> None:
        """The probe has ended: well, badly, or (None) without anybody having waited for its end."""
        if self.state != HALF_OPEN:
            return
        if is_good is None:
            self.state = OPEN  # its time is over: the next call is the probe
        elif is_good:
            self.state = CLOSED
            self._openings = 0
            self._window.clear()
        else:
            self._open(now)

    def wait_s(self, now: float) -> int:
        """After how many seconds it is worth asking again."""
        return max(1, ceil(self._ends_at - now))

    def _open(self, now: float) -> None:
        self.state = OPEN
        longest = max(self._entry.open_s, self._entry.max_open_s)
        self._ends_at = now + min(longest, self._entry.open_s * 2.0 ** min(self._openings, 20))
        self._openings += 1
