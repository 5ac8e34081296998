"""What the simulators were told to do wrong, and to whom."""

import itertools
import time
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Self

CHANNELS = ("fcm", "apns", "smtp", "oauth")
KINDS = {
    "fcm": ("status", "reset", "delay", "unregistered"),
    "apns": ("status", "goaway", "reset", "delay", "unregistered"),
    "smtp": ("status", "reset", "delay", "bounce"),
    "oauth": ("status", "reset", "delay"),
}
MAX_FAULTS = 10_000
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "channel": str,
    "kind": str,
    "match": str,
    "count": int,
    "status": int,
    "reason": str,
    "retry_after_s": int,
    "retry_after": str,
    "delay_s": (int, float),
    "after_accept": bool,
    "now": bool,
}


class BadFault(ValueError):
    """The message names the field."""


@dataclass(slots=True)
class Fault:
    channel: str
    kind: str
    match: str = ""
    count: int | None = None
    status: int = 0
    reason: str = ""
    retry_after_s: int | None = None
    retry_after: str = ""
    delay_s: float = 0.0
    after_accept: bool = False
    now: bool = False
    id: int = 0
    created_at: float = field(default_factory=time.time)
    used: int = 0

    @classmethod
    def parse(cls, value: Any) -> Self:
        if not isinstance(value, dict):
            raise BadFault("the body must be a JSON object")
        for name, item in value.items():
            if name not in _FIELDS:
                raise BadFault(f"{name}: no such field")
            is_number_for_bool = isinstance(item, bool) and _FIELDS[name] is not bool
            if is_number_for_bool or not isinstance(item, _FIELDS[name]):
                raise BadFault(f"{name}: wrong type")
        channel, kind = value.get("channel"), value.get("kind")
        if channel not in CHANNELS:
            raise BadFault(f"channel: one of {', '.join(CHANNELS)}")
        if kind not in KINDS[channel]:
            raise BadFault(f"kind: for {channel} one of {', '.join(KINDS[channel])}")
        if kind == "status" and not 400 <= value.get("status", 0) <= 599:
            raise BadFault("status: 400 to 599")
        if kind == "delay" and not 0 < value.get("delay_s", 0) <= 600:
            raise BadFault("delay_s: more than 0, at most 600")
        if value.get("count", 1) < 1:
            raise BadFault("count: 1 or more; leave it out for no end")
        if any(not name.isprintable() for name in (value.get("retry_after", ""), value.get("reason", ""))):
            raise BadFault("reason, retry_after: printable characters only")
        return cls(**value)

    def is_for(self, target: str) -> bool:
        """`match` is a prefix, or a pattern where it holds a star."""
        return fnmatchcase(target, self.match) if "*" in self.match else target.startswith(self.match)

    @property
    def retry_after_header(self) -> tuple[tuple[str, str], ...]:
        value = self.retry_after or ("" if self.retry_after_s is None else str(self.retry_after_s))
        return (("retry-after", value),) if value else ()


class Faults:
    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._faults: dict[int, Fault] = {}

    def add(self, fault: Fault) -> Fault:
        if len(self._faults) >= MAX_FAULTS:
            raise BadFault(f"there are already {MAX_FAULTS} faults; DELETE /api/faults first")
        fault.id = next(self._ids)
        self._faults[fault.id] = fault
        return fault

    def take(self, channel: str, target: str) -> Fault | None:
        """The oldest fault for this target, counted down; what says a token or mailbox is gone comes first."""
        hits = [fault for fault in self._faults.values() if fault.channel == channel and fault.is_for(target)]
        if not hits:
            return None
        fault = min(hits, key=lambda hit: (hit.kind not in ("unregistered", "bounce"), hit.id))
        fault.used += 1
        if fault.count is not None:
            fault.count -= 1
            if fault.count == 0:
                del self._faults[fault.id]
        return fault

    def list(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._faults.values()]

    def clear(self) -> None:
        self._faults.clear()
