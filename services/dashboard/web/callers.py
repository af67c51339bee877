"""Roles, and the caller of a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Role(StrEnum):
    """What a caller may do. Each role includes the ones before it."""

    VIEWER = "viewer"
    """Sees everything."""
    OPERATOR = "operator"
    """Marks wrong verdicts, and requests heatmaps."""
    ENGINEER = "engineer"
    """Labels, trains, compares, promotes, rolls back, replays parked messages."""
    ADMIN = "admin"
    """Discards parked messages, and manages people and tokens."""

    @property
    def rank(self) -> int:
        """Return the place of this role, from 0 for the one that may do least."""
        return list(Role).index(self)

    def may(self, needed: Role) -> bool:
        """Return whether this role includes `needed`."""
        return self.rank >= needed.rank


@dataclass(frozen=True)
class Caller:
    """Who sends a request: a person who has logged in, a program with a token, or a program of this machine."""

    name: str
    role: Role
    kind: Literal["person", "token", "local"] = "person"
    session: str | None = None
    """Of a person: the digest of the session's id."""
    language: str | None = None
    """Of a person's account; None: the one of the browser."""

    def may(self, needed: Role | str) -> bool:
        """Return whether the caller has the role `needed`, or one that includes it."""
        return self.role.may(Role(needed))


LOCAL: Final = Caller("local", Role.ADMIN, "local")
"""The caller of every request where no login is needed."""
