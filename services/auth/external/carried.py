"""What goes with a code through the browser to the app (PKCE): sealed, and seen by who has the verifier."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from pydantic import Field

from services.auth import models, rows, store
from services.auth.codes import context_of_code
from services.auth.external import accounts, kept_tokens
from services.auth.external.id_tokens import Account
from services.auth.parts import here
from services.auth.sessions import open_session, session_answer
from shared.errors import Unauthorized
from shared.postgres import Connection

METHOD = "oauth"


class ProviderSession(models.Session):
    """A session, with the tokens of the provider that it began with; they are nowhere afterwards."""

    provider_token: str | None = Field(repr=False)
    provider_refresh_token: str | None = Field(repr=False)


@dataclass(frozen=True)
class Carried:
    """With an account, that is linked to the session's user when the app comes with the code, and not before: so
    nobody links somebody else's by sending them an address to open."""

    provider: str
    provider_token: str = field(repr=False)
    provider_refresh_token: str = field(repr=False)
    account: Account | None = None
    session_id: str | None = None

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def open(cls, code_hash: bytes, sealed: bytes) -> "Carried":
        found: dict[str, Any] = json.loads(here.sealer.open(bytes(sealed), context_of_code(code_hash)))
        account = found.pop("account")
        return cls(**found, account=Account(**account) if account else None)

    def enter(self, conn: Connection, user_id: UUID) -> tuple[rows.User, rows.Session] | None:
        """A session for the user; the one that asked, where an account is to be linked to it."""
        if self.account is not None and self.session_id is not None:
            user, session = link(conn, UUID(self.session_id), self.account)
            kept_tokens.keep(conn, self.account, self.provider_refresh_token)
            return user, session
        user_now = store.update_signed_in(conn, user_id, password_hash=None)
        return (user_now, open_session(conn, user_now, METHOD, provider=self.provider)) if user_now else None

    def answer(self, user: rows.User, session: rows.Session) -> models.Session:
        """What the app keeps, the provider's tokens among it."""
        return ProviderSession(
            **dict(session_answer(user, session)),
            provider_token=self.provider_token or None,
            provider_refresh_token=self.provider_refresh_token or None,
        )


def link(conn: Connection, session_id: UUID, account: Account) -> tuple[rows.User, rows.Session]:
    """Link an account to the user of a session that is alive. Raise Unauthorized(session_not_found)."""
    store.lock_identity(conn, account.provider, account.subject)  # before the person, as in `enter`
    store.lock_user(conn, require_session(conn, session_id)[0].id)
    owner, session = require_session(conn, session_id)
    return accounts.link(conn, owner, account, session_id=session_id), session


def require_session(conn: Connection, session_id: UUID) -> tuple[rows.User, rows.Session]:
    """A session that is alive, and whose it is. Raise Unauthorized(session_not_found)."""
    found = store.get_session_and_user(conn, session_id)
    if found is None:
        raise Unauthorized("The session that wanted to link an account has ended.", code="session_not_found")
    return found
