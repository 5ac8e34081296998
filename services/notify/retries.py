"""When to try again: rules only, no I/O."""

import random
from dataclasses import dataclass
from typing import Any

from services.notify.providers import RETRIED, Outcome, Result
from services.notify.store import Claimed

DELAYS_S = (1, 5, 30, 120, 600)  # the broker's delay queues; a longer wait takes several
MAX_BACKOFF_S = 3600.0
MAX_RETRY_AFTER_S = 24 * 3600.0
JITTER = 0.1
MAX_TEXT = 300


@dataclass(frozen=True)
class Policy:
    max_attempts: int
    base_s: float


def refuse_early(delivery: Claimed, policy: Policy) -> Result | None:
    """What needs no provider: the message is out of date, or its senders died of it too often."""
    if delivery.is_expired:
        return Result(Outcome.EXPIRED)
    if delivery.attempt > policy.max_attempts:
        return Result(Outcome.AMBIGUOUS, "every attempt broke off")
    return None


def judge(delivery: Claimed, result: Result, policy: Policy) -> dict[str, Any]:
    """The row's next state; `retry_s` is None when it is finished."""
    retry_s, state = None, "sent" if result.outcome is Outcome.ACCEPTED else "failed"
    is_attempt = result.outcome is not Outcome.POSTPONED
    if result.outcome in RETRIED and (delivery.attempt < policy.max_attempts or not is_attempt):
        retry_s, state = wait_s(delivery.attempt, result.retry_after_s, policy), "retrying"
    return {
        "id": str(delivery.id),
        "attempt": delivery.attempt,
        "is_attempt": is_attempt,
        "state": state,
        "outcome": result.outcome.value,
        "reason": printable(result.reason),
        "provider_id": printable(result.provider_id),
        "retry_s": retry_s,
    }


def wait_s(attempt: int, retry_after_s: float | None, policy: Policy) -> float:
    """Never sooner than the provider asked; else twice as long each time. Spread a little."""
    if retry_after_s is not None:
        least = min(max(retry_after_s, 1.0), MAX_RETRY_AFTER_S)
    else:
        least = min(policy.base_s * 2 ** (attempt - 1), MAX_BACKOFF_S)
    return least * (1 + random.random() * JITTER)  # noqa: S311 — spreads load, keeps no secret


def printable(text: str | None) -> str | None:
    """What a provider said, fit to be stored and shown: no control characters, no half surrogates, not a whole page."""
    return "".join(character for character in text if character.isprintable())[:MAX_TEXT] if text is not None else None


def delay_for(remaining_s: float) -> int:
    """The longest delay queue that is not too long: what comes back early goes into a shorter one."""
    return max((delay_s for delay_s in DELAYS_S if delay_s <= remaining_s), default=DELAYS_S[0])
