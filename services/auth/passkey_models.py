"""Bodies of requests and answers of passkeys, in the shape that clients of supabase/auth send and expect."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, RootModel

from services.auth import rows
from services.auth.models import ClientBody
from services.auth.passkey_makers import maker_of
from shared.routing import Answer, Path


class PasskeyPath(Path):
    passkey_id: UUID


class Options(Answer):
    """For `navigator.credentials`, in the JSON form of WebAuthn level 3. `expires_at` is in Unix seconds."""

    challenge_id: UUID
    options: dict[str, Any]
    expires_at: int


class Response(ClientBody):
    """What `navigator.credentials` gave, in the JSON form of WebAuthn level 3."""

    challenge_id: UUID
    credential: dict[str, Any]


class Renaming(ClientBody):
    friendly_name: Annotated[str, Field(min_length=1, max_length=120)]


class Passkey(Answer):
    """A passkey as its owner sees it. `provider` is a hint, from an AAGUID that nobody attests."""

    id: UUID
    friendly_name: str
    created_at: datetime
    last_used_at: datetime | None
    provider: str
    backup_eligible: bool
    backed_up: bool
    transports: list[str]

    @classmethod
    def of(cls, key: rows.Credential) -> "Passkey":
        return cls(
            id=key.id,
            friendly_name=key.name,
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            provider=maker_of(key.aaguid),
            backup_eligible=key.is_backup_eligible,
            backed_up=key.is_backed_up,
            transports=key.transports,
        )


class Passkeys(RootModel[list[Passkey]]):
    """A bare list, as the protocol has it."""
