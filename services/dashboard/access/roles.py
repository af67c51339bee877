"""Roles, and the caller of a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Role(StrEnum):
    """What people may do. Each role may do what the ones before it may."""

    VIEWER = "viewer"
    """Looks at everything."""
    OPERATOR = "operator"
    """Marks wrong verdicts, and asks for explanations."""
    ENGINEER = "engineer"
    """Labels, trains, compares, promotes, rolls back, replays parked messages."""
    ADMIN = "admin"
    """Discards for good, and manages people and tokens."""

    @property
    def rank(self) -> int:
        """0 for the role that may do least."""
        return _RANKS[self]

    def may(self, needed: Role) -> bool:
        """Whether this role includes another one."""
        return self.rank >= needed.rank


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Caller:
    """Who asks, by name: a person who has logged in, a token, or whoever is at this machine."""

    name: str
    role: Role
    kind: Literal["person", "token", "local"] = "person"
    session: str | None = None
    """Of a person: the digest of the session's id."""

    def may(self, needed: Role | str) -> bool:
        """Whether the caller may do what ``needed`` may."""
        return self.role.may(Role(needed))


LOCAL: Final = Caller("local", Role.ADMIN, "local")
"""Everyone of this machine, where nobody has to log in."""
