"""What arrived: the newest messages in full, and counters that outlive them. All of it bounded."""

import asyncio
import hashlib
import json
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

MAX_COUNTED = 100_000
MAX_LISTED = 1_000


@dataclass(slots=True)
class Arrival:
    channel: str
    to: str
    headers: dict[str, str]
    raw: bytes
    key: str = ""
    provider_id: str = ""
    outcome: str = "accepted"
    status: int = 200
    reason: str = ""
    title: str = ""
    text: str = ""
    warnings: list[str] = field(default_factory=list)
    mail: dict[str, Any] | None = None
    id: int = 0
    received_at: float = field(default_factory=time.time)

    @property
    def body(self) -> Any:
        """The JSON of a push, parsed anew each time: what is kept is the raw one, a fifth of its size."""
        text = self.raw.decode("utf-8", "replace")
        if self.channel == "smtp":
            return text
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    @property
    def size_bytes(self) -> int:
        """Roughly what keeping it costs, with headers and the parsed mail."""
        return (3 if self.mail else 1) * len(self.raw) + 2_000

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "channel": self.channel,
            "to": self.to,
            "received_at": datetime.fromtimestamp(self.received_at, UTC).isoformat(timespec="milliseconds"),
            "outcome": self.outcome,
            "status": self.status,
            "reason": self.reason,
            "key": self.key,
            "provider_id": self.provider_id,
            "title": self.title,
            "text": self.text,
            "warnings": self.warnings,
            "headers": self.headers,
            "body": self.body,
            "mail": self.mail,
        }


def without_secrets(headers: dict[str, str]) -> dict[str, str]:
    """A bearer token is shown by its first characters only."""
    if "authorization" not in headers:
        return headers
    scheme, _, token = headers["authorization"].partition(" ")
    return {**headers, "authorization": f"{scheme} {token[:8]}…"}


class Arrivals:
    def __init__(self, keep_messages: int, keep_bytes: int) -> None:
        self._keep_messages, self._keep_bytes = keep_messages, keep_bytes
        self._kept: deque[Arrival] = deque()
        self._kept_bytes = 0
        self._next_id = int(time.time() * 1000)  # so that ids grow over restarts too
        self._counted: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._repeated: set[tuple[str, str, str]] = set()
        self._forgotten = 0
        self.totals: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.version = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def add(self, arrival: Arrival) -> Arrival:
        arrival.id = self._next_id
        self._next_id += 1
        self.totals[arrival.channel, arrival.outcome] += 1
        if arrival.outcome == "accepted":
            arrival.key = arrival.key or hashlib.sha256(arrival.raw).hexdigest()[:32]
            self._count((arrival.channel, arrival.to, arrival.key))
        else:
            self.reasons[arrival.channel, arrival.reason] += 1
        self._kept.append(arrival)
        self._kept_bytes += arrival.size_bytes
        while len(self._kept) > self._keep_messages or (self._kept_bytes > self._keep_bytes and len(self._kept) > 1):
            self._kept_bytes -= self._kept.popleft().size_bytes
        self._wake()
        return arrival

    def _count(self, key: tuple[str, str, str]) -> None:
        self._counted[key] = self._counted.get(key, 0) + 1
        self._counted.move_to_end(key)
        if self._counted[key] > 1:
            self._repeated.add(key)
        if len(self._counted) > MAX_COUNTED:
            forgotten, _ = self._counted.popitem(last=False)
            self._repeated.discard(forgotten)
            self._forgotten += 1

    def newest_first(self) -> Iterator[Arrival]:
        return reversed(self._kept)

    def get(self, arrival_id: int) -> Arrival | None:
        """Ids are consecutive, so a message's place follows from its id."""
        place = arrival_id - self._kept[0].id if self._kept else -1
        return self._kept[place] if 0 <= place < len(self._kept) else None

    def clear(self) -> None:
        self._kept.clear()
        self._counted.clear()
        self._repeated.clear()
        self.totals.clear()
        self.reasons.clear()
        self._kept_bytes = self._forgotten = 0
        self._wake()

    async def changed_since(self, version: int, timeout_s: float) -> int:
        """Wait until `version` is no longer the latest, or the time is over; return the latest."""
        if version == self.version:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            await asyncio.wait([waiter], timeout=timeout_s)
            self._waiters.discard(waiter)
        return self.version

    def _wake(self) -> None:
        self.version += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def stats(self) -> dict[str, Any]:
        channels: dict[str, dict[str, int]] = {}
        for (channel, outcome), total in sorted(self.totals.items()):
            channels.setdefault(channel, {"accepted": 0, "refused": 0})[outcome] = total
        repeated = [
            {"channel": channel, "to": to, "key": key, "count": self._counted[channel, to, key]}
            for channel, to, key in islice(self._repeated, MAX_LISTED)
        ]
        return {
            "channels": channels,
            "refusals": [{"channel": c, "reason": r, "count": n} for (c, r), n in sorted(self.reasons.items())],
            "distinct": len(self._counted),
            "repeated_count": len(self._repeated),
            "repeated": repeated,
            "forgotten": self._forgotten,
            "kept": len(self._kept),
            "kept_bytes": self._kept_bytes,
        }
