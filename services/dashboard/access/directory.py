"""People and tokens, as a fold over every change that was ever made to them.

A change is one object in object storage, written once. So changes that are made at the same time, by two dashboards or
a command line, are all kept; and whatever order they come in, everybody arrives at the same people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from services.dashboard.web.roles import Role


class _Change(BaseModel):
    model_config = ConfigDict(frozen=True)

    by: str
    at: AwareDatetime


class PersonAdded(_Change):
    """Somebody new. Void when there is one of that name."""

    kind: Literal["person.add"] = "person.add"
    name: str
    role: Role
    password: str = Field(repr=False, description="its Argon2 hash")


class RoleGiven(_Change):
    """Another role. Void when it would leave no admin."""

    kind: Literal["person.role"] = "person.role"
    name: str
    role: Role


class PasswordSet(_Change):
    """Another password."""

    kind: Literal["person.password"] = "person.password"
    name: str
    password: str = Field(repr=False, description="its Argon2 hash")


class PersonRemoved(_Change):
    """Somebody less. Void when it would leave no admin."""

    kind: Literal["person.remove"] = "person.remove"
    name: str


class TokenAdded(_Change):
    """A token for a program."""

    kind: Literal["token.add"] = "token.add"
    id: str
    name: str
    role: Role
    digest: str = Field(repr=False, description="SHA-256 of the secret, which has 256 random bits")
    expires_at: AwareDatetime


class TokenRevoked(_Change):
    """A token that is none any more."""

    kind: Literal["token.revoke"] = "token.revoke"
    id: str


Change = PersonAdded | RoleGiven | PasswordSet | PersonRemoved | TokenAdded | TokenRevoked
CHANGE: TypeAdapter[Change] = TypeAdapter(Annotated[Change, Field(discriminator="kind")])


@dataclass(frozen=True)
class Person:
    """Somebody who may log in."""

    name: str
    role: Role
    password: str = field(repr=False)
    epoch: str
    """Id of the change that last gave a password or a role: sessions that began before it are over."""
    added_by: str
    added_at: datetime
    password_at: datetime


@dataclass(frozen=True)
class Token:
    """What a program shows instead of a password."""

    id: str
    name: str
    role: Role
    digest: str = field(repr=False)
    expires_at: datetime
    added_by: str
    added_at: datetime


@dataclass(frozen=True)
class Directory:
    """Who is known."""

    people: dict[str, Person] = field(default_factory=dict)
    """By name."""
    tokens: dict[str, Token] = field(default_factory=dict)
    """By id."""

    @property
    def admins(self) -> set[str]:
        """The names of those who may do everything."""
        return {person.name for person in self.people.values() if person.role is Role.ADMIN}

    def token_of(self, digest: str) -> Token | None:
        """The token of which this is the digest."""
        return next((token for token in self.tokens.values() if token.digest == digest), None)


def directory_of(changes: Iterable[tuple[str, Change]]) -> Directory:
    """What a history of changes comes to.

    Args:
        changes: each with its id, in the order of their ids.
    """
    directory = Directory()
    for change_id, change in changes:
        _apply(directory, change_id, change)
    return directory


def _apply(directory: Directory, change_id: str, change: Change) -> None:
    people, tokens = directory.people, directory.tokens
    match change:
        case PersonAdded():
            people.setdefault(change.name, _person_of(change_id, change))
        case RoleGiven() if change.name in people and not _is_last_admin(directory, change.name, change.role):
            people[change.name] = replace(people[change.name], role=change.role, epoch=change_id)
        case PasswordSet() if change.name in people:
            person = replace(people[change.name], password=change.password, password_at=change.at)
            people[change.name] = replace(person, epoch=change_id)
        case PersonRemoved() if not _is_last_admin(directory, change.name, None):
            people.pop(change.name, None)
        case TokenAdded():
            details = change.model_dump(include={"id", "name", "role", "digest", "expires_at"})
            tokens[change.id] = Token(**details, added_by=change.by, added_at=change.at)
        case TokenRevoked():
            tokens.pop(change.id, None)


def _person_of(change_id: str, change: PersonAdded) -> Person:
    return Person(
        name=change.name,
        role=change.role,
        password=change.password,
        epoch=change_id,
        added_by=change.by,
        added_at=change.at,
        password_at=change.at,
    )


def _is_last_admin(directory: Directory, name: str, becomes: Role | None) -> bool:
    return becomes is not Role.ADMIN and directory.admins == {name}
