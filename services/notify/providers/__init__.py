"""Providers of push and mail behind one protocol: a batch goes in, and for each item comes back what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar
from uuid import UUID


class Outcome(StrEnum):
    """What became of one attempt. The first group ends a delivery, the second is tried again."""

    ACCEPTED = "accepted"
    UNREGISTERED = "unregistered"  # the provider says that the installation is gone
    BAD_REQUEST = "bad_request"  # refused for what it is: the same again would be refused again
    EXPIRED = "expired"
    NOT_CONFIGURED = "not_configured"
    NO_TARGET = "no_target"  # no device, no address; or it belongs to somebody else by now

    RETRY_AFTER = "retry_after"  # the provider is unwell, or was not reached: it has not got it
    THROTTLED = "throttled"
    CREDENTIALS = "credentials"  # ours are refused: a fault for an operator to mend, so it is tried again
    AMBIGUOUS = "ambiguous"  # sent, and the answer was lost
    POSTPONED = "postponed"  # not begun: the batch took too long. That is no attempt


RETRIED = frozenset({Outcome.RETRY_AFTER, Outcome.THROTTLED, Outcome.CREDENTIALS, Outcome.AMBIGUOUS, Outcome.POSTPONED})


@dataclass(frozen=True, slots=True)
class Result:
    """`reason` is the provider's own word; `retry_after_s` what it asked for; `gone_at` since when a token is dead."""

    outcome: Outcome
    reason: str | None = None
    provider_id: str | None = None
    retry_after_s: float | None = None
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """One notification to one installation. A repetition bears the same `delivery_id`."""

    delivery_id: UUID
    message_id: UUID
    token: str
    app_id: str | None
    environment: str
    title: str
    body: str
    data: dict[str, str]
    is_urgent: bool
    collapse_key: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Mail:
    delivery_id: UUID
    to: str
    subject: str
    text: str
    html: str
    language: str = ""


Item = TypeVar("Item", contravariant=True)


class Provider(Protocol[Item]):
    """One channel's way out. It keeps connections and credentials, and is used by one thread at a time."""

    def send(self, items: Sequence[Item], *, until: float) -> list[Result]:
        """Send all; a result for each, in their order. Never raises for what one item or the provider does.

        Nothing is sent after `until` (time.monotonic): the claim ends soon, and somebody else may send it then.
        """

    def close(self) -> None:
        """End the connections."""


class NotConfigured:
    """The provider of a channel that has no settings."""

    def __init__(self, missing: str) -> None:
        self._missing = missing

    def send(self, items: Sequence[object], *, until: float) -> list[Result]:
        return [Result(Outcome.NOT_CONFIGURED, f"{self._missing} is not set")] * len(items)

    def close(self) -> None:
        """There is nothing to end."""
