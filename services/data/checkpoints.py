"""Checkpoints of the change feed: opaque to clients, so that what is inside may change.

    {"v": 1, "s": {"<space id>": [40, 60]}}   base64url, without padding

A reader has everything of the space up to `seq` 40. It began from nothing when the space was at 60 (`since`): documents
deleted before that never reached it, so it does not need their tombstones, even though its `seq` is still below 60.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import FieldError, Gone, ValidationFailed

Seq = Annotated[int, Field(ge=0, lt=2**63)]


class Position(NamedTuple):
    """Where a reader is in one space."""

    seq: Seq
    since: Seq

    def is_behind(self, horizon: int) -> bool:
        """True if a tombstone it would need may have been purged."""
        return horizon > max(self.seq, self.since)


class _Checkpoint(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    v: Literal[1]
    s: dict[UUID, Position]


def decode(text: str | None) -> dict[UUID, Position]:
    """The positions of a reader; none at all for a reader that begins. Raise ValidationFailed."""
    if text is None:
        return {}
    try:
        padding = "=" * (-len(text) % 4)
        data = base64.b64decode(text + padding, altchars=b"-_", validate=True)
        return _Checkpoint.model_validate_json(data, strict=True).s
    except (binascii.Error, ValidationError, ValueError) as error:
        detail = "is not a checkpoint that this service gave out"
        raise ValidationFailed(
            f"checkpoint {detail}.", errors=[FieldError(detail=detail, parameter="checkpoint")]
        ) from error


def encode(positions: Mapping[UUID, Position]) -> str:
    data = _Checkpoint(v=1, s=dict(positions)).model_dump_json().encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def resync_required() -> Gone:
    """The reader cannot be brought up to date: it must forget what it has and begin without a checkpoint."""
    return Gone("The checkpoint is too old or not yours: pull again without one.", code="resync_required")
