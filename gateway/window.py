"""How many calls went well and how many did not, in the last seconds."""

from collections import deque

SLOTS = 10


class Window:
    """Counts in ten slots of time; the oldest leaves as a new one begins. Times are those of one steady clock."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._slots: deque[list[float]] = deque()  # when it began, good, bad

    def add(self, good: int, bad: int, now: float) -> None:
        if not self._slots or now - self._slots[-1][0] >= self._length_s / SLOTS:
            self._slots.append([now, 0, 0])
        slot = self._slots[-1]
        slot[1] += good
        slot[2] += bad

    def sums(self, now: float) -> tuple[int, int]:
        """Good and bad of the last `length_s` seconds, give or take a slot."""
        while self._slots and now - self._slots[0][0] > self._length_s:
            self._slots.popleft()
        return int(sum(slot[1] for slot in self._slots)), int(sum(slot[2] for slot in self._slots))

    def clear(self) -> None:
        self._slots.clear()
