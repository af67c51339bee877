"""Roles, and the caller of a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Role(StrEnum):
    """What a caller may do. Each role includes the ones before it."""

    VIEWER = "viewer"
    """May see everything."""
    OPERATOR = "operator"
    """May mark wrong verdicts, request heatmaps, and check lines."""
    ENGINEER = "engineer"
    """May label, edit recipes, train, compare, promote, roll back, and replay parked messages."""
    ADMIN = "admin"
    """May discard parked messages, and manage people and tokens."""

    @property
    def rank(self) -> int:
        """The rank of this role; 0 is the role that may do least."""
        return list(Role).index(self)

    def may(self, needed: Role) -> bool:
        """Return whether this role includes `needed`."""
        return self.rank >= needed.rank


@dataclass(frozen=True)
class Caller:
    """The sender of a request: a person who has logged in, a program with a token, or a program on this machine."""

    name: str
    role: Role
    kind: Literal["person", "token", "local"] = "person"
    session: str | None = None
    """The digest of the session's id, if the caller is a person."""
    language: str | None = None
    """The language of a person's account; None: use the browser's language."""

    def may(self, needed: Role | str) -> bool:
        """Return whether the caller has the role `needed`, or one that includes it."""
        return self.role.may(Role(needed))


LOCAL: Final = Caller("local", Role.ADMIN, "local")
"""The caller of each request to a dashboard that needs no login."""
