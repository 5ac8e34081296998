"""What the gateway keeps of a verified token."""

from dataclasses import dataclass, field

OWN = "gatehouse"  # auth, among the issuers of the route table


@dataclass(slots=True, frozen=True)
class Grant:
    """A service's own token, and one of another issuer, has no session. `issuer` is a name of the route table."""

    user_id: str
    session_id: str
    scopes: frozenset[str]
    expires_at: float
    is_aal2: bool = False
    issuer: str = OWN
    log_field: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_field", b',"user_id":"%b"' % self.user_id.encode())
