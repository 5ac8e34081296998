"""The standing people: alice owns what a test is about, mallory must see none of it."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.ids import new_id
from tests.support.issuer import Issuer


@dataclass(frozen=True)
class Person:
    """A signed-in person; `headers` go with a request."""

    name: str
    issuer: Issuer
    user_id: UUID = field(default_factory=new_id)
    session_id: UUID = field(default_factory=new_id)

    def token(self, **claims: Any) -> str:
        return self.issuer.token(self.user_id, sid=self.session_id, **claims)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token()}"}
