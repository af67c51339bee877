"""The people and tokens that may log in, computed from all changes that were ever made to them.

Each change is one object in object storage, which is never overwritten. So no change is lost if two processes make
changes at the same time, and each process computes the same people, because changes are applied in the order of ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from services.dashboard.web.callers import Role


class _Change(BaseModel):
    model_config = ConfigDict(frozen=True)

    by: str
    at: AwareDatetime


class PersonAdded(_Change):
    """A new person. The change is void if there is a person of that name."""

    kind: Literal["person.add"] = "person.add"
    name: str
    role: Role
    password: str = Field(repr=False, description="Argon2 hash of the password")


class RoleChanged(_Change):
    """Another role of a person. The change is void if no admin would be left."""

    kind: Literal["person.role"] = "person.role"
    name: str
    role: Role


class PasswordChanged(_Change):
    """Another password of a person."""

    kind: Literal["person.password"] = "person.password"
    name: str
    password: str = Field(repr=False, description="Argon2 hash of the password")


class LanguageChosen(_Change):
    """The language in which a person wants the pages."""

    kind: Literal["person.language"] = "person.language"
    name: str
    language: str


class PersonRemoved(_Change):
    """A person was removed. The change is void if no admin would be left."""

    kind: Literal["person.remove"] = "person.remove"
    name: str


class TokenAdded(_Change):
    """A new token of a program."""

    kind: Literal["token.add"] = "token.add"
    id: str
    name: str
    role: Role
    digest: str = Field(repr=False, description="SHA-256 of the secret, which has 256 random bits")
    expires_at: AwareDatetime


class TokenRevoked(_Change):
    """A token was revoked."""

    kind: Literal["token.revoke"] = "token.revoke"
    id: str


Change = PersonAdded | RoleChanged | PasswordChanged | LanguageChosen | PersonRemoved | TokenAdded | TokenRevoked
CHANGE: TypeAdapter[Change] = TypeAdapter(Annotated[Change, Field(discriminator="kind")])


@dataclass(frozen=True)
class Person:
    """A person who may log in."""

    name: str
    role: Role
    password: str = field(repr=False)
    """Its Argon2 hash."""
    epoch: str
    """Id of the last change of the password or the role. Sessions that began before it are not valid any more."""
    added_by: str
    added_at: datetime
    password_at: datetime
    language: str | None = None
    """None: use the browser's language."""


@dataclass(frozen=True)
class Token:
    """A token, which a program sends instead of a password."""

    id: str
    name: str
    role: Role
    digest: str = field(repr=False)
    """SHA-256 of the secret."""
    expires_at: datetime
    added_by: str
    added_at: datetime


@dataclass(frozen=True)
class Directory:
    """All people and tokens."""

    people: dict[str, Person] = field(default_factory=dict)
    """By name."""
    tokens: dict[str, Token] = field(default_factory=dict)
    """By id."""

    @property
    def admins(self) -> set[str]:
        """Return the names of the people with the role admin."""
        return {person.name for person in self.people.values() if person.role is Role.ADMIN}

    def token_of(self, digest: str) -> Token | None:
        """Return the token whose secret has this digest."""
        return next((token for token in self.tokens.values() if token.digest == digest), None)

    def is_last_admin(self, name: str) -> bool:
        return self.admins == {name}

    def apply(self, change_id: str, change: Change) -> None:
        """Apply a change; a void change has no effect."""
        people, tokens = self.people, self.tokens
        match change:
            case PersonAdded(name=name) if name not in people:
                people[name] = Person(
                    name=name,
                    role=change.role,
                    password=change.password,
                    epoch=change_id,
                    added_by=change.by,
                    added_at=change.at,
                    password_at=change.at,
                )
            case RoleChanged(name=name, role=role) if name in people:
                if role is Role.ADMIN or not self.is_last_admin(name):
                    people[name] = replace(people[name], role=role, epoch=change_id)
            case PasswordChanged(name=name) if name in people:
                people[name] = replace(people[name], password=change.password, password_at=change.at, epoch=change_id)
            case LanguageChosen(name=name) if name in people:
                people[name] = replace(people[name], language=change.language)
            case PersonRemoved(name=name) if not self.is_last_admin(name):
                people.pop(name, None)
            case TokenAdded():
                details = change.model_dump(include={"id", "name", "role", "digest", "expires_at"})
                tokens[change.id] = Token(**details, added_by=change.by, added_at=change.at)
            case TokenRevoked():
                tokens.pop(change.id, None)


def directory_of(changes: Iterable[tuple[str, Change]]) -> Directory:
    """Return the people and tokens after all ``changes``: pairs of id and change, in the order of their ids."""
    directory = Directory()
    for change_id, change in changes:
        directory.apply(change_id, change)
    return directory
