"""How many requests may pass: token buckets by user, address, route or API key. Rules and arithmetic, no I/O.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371, which is
a token bucket told by the clock): nothing has to be refilled, and a bucket that is full need not be remembered.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.headers import may_enter

USER, ADDRESS, ROUTE, KEY = "user", "ip", "route", "key"
LEAST_INTERVAL_S = 1e-6
SLACK_S = 1e-6  # sums of binary fractions are not exact: a bucket of ten holds ten


@dataclass(frozen=True, eq=False, slots=True)
class Limit:
    """One line of `limits:`. A bucket holds `burst` requests and fills at `requests` each `per_s` seconds."""

    name: str
    by: str
    requests: float
    per_s: float
    burst: float
    is_shadow: bool = False
    header: bytes | None = None
    counts_forged: bool = False  # only requests whose token nobody we trust has signed


class LimitEntry(BaseModel):
    """A limit in `routes.yaml`; `header` names the field with the API key, `shadow` counts and refuses nothing.

    `count: forged` counts only requests with a token that nobody we trust has signed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["user", "ip", "route", "key"]
    requests: int = Field(ge=1, le=1_000_000)
    per_s: float = Field(60, ge=1, le=86_400)
    burst: int | None = Field(None, ge=1, le=1_000_000)
    header: str | None = Field(None, pattern="^[A-Za-z0-9-]+$")
    mode: Literal["enforce", "shadow"] = "enforce"
    count: Literal["all", "forged"] = "all"

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.by == KEY) != (self.header is not None):
            raise ValueError("by: key needs the header that holds it, and only by: key has one")
        if self.count == "forged" and self.by != ADDRESS:
            raise ValueError("count: forged goes with by: ip, for nobody knows whose token it is")
        if self.header and (self.header.lower() == "authorization" or not may_enter(self.header.lower().encode())):
            raise ValueError(f"{self.header} is not a header that goes on to a service as it came")
        return self

    def limit(self, name: str) -> Limit:
        header = self.header.lower().encode() if self.header else None
        burst = self.burst or self.requests
        is_shadow, counts_forged = self.mode == "shadow", self.count == "forged"
        return Limit(name, self.by, self.requests, self.per_s, burst, is_shadow, header, counts_forged)


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit as it is applied here: times `factor`, and only this worker's `share` of it.

    Its fields are those of draft-ietf-httpapi-ratelimit-headers-10.
    """

    interval_s: float  # in which one request comes back
    tolerance_s: float  # in which a whole bucket comes back
    fields: bytes  # `RateLimit-Policy` and `RateLimit`, with what is left and the seconds until it is full to fill in

    @classmethod
    def of(cls, limit: Limit, factor: float = 1, share: float = 1) -> "Rule":
        burst = max(1, limit.burst * factor * share)
        interval_s = max(LEAST_INTERVAL_S, limit.per_s / (limit.requests * factor * share))
        name, window_s = limit.name.encode(), ceil(burst * interval_s)
        policy = b'ratelimit-policy: "%b";q=%d;w=%d\r\nratelimit: "%b"' % (name, burst, window_s, name)
        return cls(interval_s, burst * interval_s, policy + b";r=%d;t=%d\r\n")

    def left(self, ahead_s: float) -> int:
        """How many more requests a bucket that is full again in `ahead_s`, at most `tolerance_s`, lets pass now."""
        return int((self.tolerance_s - ahead_s + SLACK_S) / self.interval_s)

    def wait_s(self, ahead_s: float) -> int:
        """Whole seconds until the request that has been refused would pass."""
        return max(1, ceil(ahead_s - self.tolerance_s))


class Buckets:
    """The buckets of one limit, at most `size`, in two generations: of a full young one the old one is forgotten.

    So it is after `tolerance_s` too, when nothing is forgotten by it: what is in the old one then is full again.
    """

    def __init__(self, rule: Rule, size: int) -> None:
        self.rule = rule
        self.refused = 0  # and not yet counted in the metrics
        self._half = max(1, size // 2)
        self._young: dict[str | bytes, float] = {}
        self._old: dict[str | bytes, float] = {}
        self._turns_at = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: str | bytes, now: float) -> float:
        """Seconds until the bucket is full again with this request in it; beyond `tolerance_s` it does not pass."""
        full_at = self._young.get(key)
        if full_at is None:
            if now >= self._turns_at or len(self._young) >= self._half:
                self._old, self._young = self._young, {}
                self._turns_at = now + self.rule.tolerance_s
            full_at = self._old.pop(key, now)
        if full_at < now:
            full_at = now
        ahead_s = full_at - now + self.rule.interval_s
        self._young[key] = full_at if ahead_s > self.rule.tolerance_s + SLACK_S else now + ahead_s
        return ahead_s

    def inherit(self, older: "Buckets") -> None:
        """Go on where the same limit of an earlier table was."""
        self._young, self._old, self._turns_at = older._young, older._old, older._turns_at
        self.refused = older.refused


def api_key(fields: Iterable[bytes], header: bytes) -> bytes | None:
    """The digest of a request's API key, so that no key is kept; None if it has none."""
    start = header + b":"
    for field in fields:
        if field[: len(start)].lower() == start:
            return blake2b(field[len(start) :].strip(), digest_size=16).digest()
    return None
