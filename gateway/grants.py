"""What the gateway keeps of a verified token."""

from dataclasses import dataclass, field

OWN = "gatehouse"  # auth, among the issuers of the route table


@dataclass(slots=True, frozen=True)
class Grant:
    """A service's own token, and one of another issuer, has no session. `issuer` is a name of the route table.

    `actor_id` is who acts for the user, if somebody does: the access log names both.
    """

    user_id: str
    session_id: str
    scopes: frozenset[str]
    expires_at: float
    is_aal2: bool = False
    issuer: str = OWN
    actor_id: str = ""
    log_field: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        actor = b',"actor_id":"%b"' % self.actor_id.encode() if self.actor_id else b""
        object.__setattr__(self, "log_field", b',"user_id":"%b"%b' % (self.user_id.encode(), actor))
