"""Roles of people and the scopes that their access tokens get for them."""

import re
from collections.abc import Iterable
from functools import cached_property

from pydantic import BaseModel, Field, field_validator

ORDINARY, ADMIN = "authenticated", "admin"
ADMIN_SCOPE = "auth:admin"
TAKEN = frozenset({ORDINARY, "anon", "service", "service_role"})  # they mean something else in a token, or elsewhere
ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,64}")  # RFC 6749, section 3.3
MAX_SCOPES = 1000  # characters that one role adds to every token


class RoleSettings(BaseModel):
    """What this topic adds to the settings of auth."""

    role_scopes: str = Field(
        "", description="`role=scope scope`, separated by commas: roles that people may have, and what they may do"
    )

    @field_validator("role_scopes")
    @classmethod
    def _are_roles(cls, value: str) -> str:
        decode_roles(value)
        return value

    @cached_property
    def scopes_by_role(self) -> dict[str, tuple[str, ...]]:
        """Every role that there is, and its scopes. An administrator has `auth:admin`, whatever else."""
        named = decode_roles(self.role_scopes)
        return {**named, ADMIN: (ADMIN_SCOPE, *named.get(ADMIN, ()))}

    def scope_of(self, roles: Iterable[str]) -> str:
        """What a token says in `scope`: each scope once. A role that the settings name no more has none."""
        scopes = (scope for role in roles for scope in self.scopes_by_role.get(role, ()))
        return " ".join(dict.fromkeys(scopes))


def decode_roles(text: str) -> dict[str, tuple[str, ...]]:
    """`support=tickets:read tickets:write,editor=articles:write`; raise ValueError."""
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, is_given, scopes = part.partition("=")
        role, named = role.strip(), tuple(scopes.split())
        if not is_given or not ROLE.fullmatch(role) or role in TAKEN or role in found:
            raise ValueError(f"{role!r} is no name for a role, or is there twice")
        if not named or ADMIN_SCOPE in named or len(scopes) > MAX_SCOPES:
            raise ValueError(f"{role}: needs scopes, not too many, and {ADMIN_SCOPE} comes with the role {ADMIN} alone")
        if wrong := [scope for scope in named if not SCOPE.fullmatch(scope)]:
            raise ValueError(f"{role}: {wrong[0]!r} is no scope")
        found[role] = named
    return found
