"""Schemas of people, tokens, sessions and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.dashboard.access.audit import AuditEntry
from services.dashboard.access.directory import Person, Token
from services.dashboard.access.people import PersonName
from services.dashboard.access.sessions import OpenSession
from services.dashboard.web.callers import Caller, Role
from services.dashboard.web.paging import Next

Password = Annotated[str, StringConstraints(min_length=1, max_length=512)]
"""A password as it was typed. `passwords.check` says later why it is not accepted."""
LONGEST_DAYS: Final = 366
"""Most days that a token is valid."""
EXAMPLE = "four unrelated words here"


class Login(BaseModel):
    """A name and a password."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "eva", "password": EXAMPLE}}, hide_input_in_errors=True
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    password: Password


class SessionView(BaseModel):
    """The caller and their role."""

    name: str = Field(examples=["eva"])
    role: Role
    kind: Literal["person", "token", "local"] = Field(description="local: this machine, without login")

    @classmethod
    def of(cls, caller: Caller) -> Self:
        return cls(name=caller.name, role=caller.role, kind=caller.kind)


class OwnSession(BaseModel):
    """A session of the caller."""

    id: str = Field(
        description="names the session in `DELETE /api/sessions/{session_id}`; it gives no access",
        examples=["0f3a9c1d2b4e5f60"],
    )
    current: bool = Field(description="the session of this request")
    begun_at: datetime
    seen_at: datetime = Field(description="time of its last use")
    address: str = Field(examples=["192.168.1.20"])
    browser: str = Field(description="user agent of the browser", examples=["Mozilla/5.0 (X11; Linux x86_64) …"])

    @classmethod
    def of(cls, found: OpenSession, caller: Caller) -> Self:
        details = found.session.model_dump(include={"begun_at", "address", "browser"})
        return cls(id=found.id, current=found.digest == caller.session, seen_at=found.seen_at, **details)


class OwnSessions(BaseModel):
    """The caller's own sessions, the one used last first."""

    sessions: list[OwnSession]


class PasswordChange(BaseModel):
    """Another password of the caller."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"current": EXAMPLE, "new": "other words that are hard to guess"}},
        hide_input_in_errors=True,
    )

    current: Password
    new: Password = Field(description="12 characters at least, and not easily guessed")


class PersonView(BaseModel):
    """A person who may log in."""

    name: str = Field(examples=["eva"])
    role: Role
    added_by: str = Field(examples=["admin"])
    added_at: datetime
    password_at: datetime = Field(description="time of the last change of the password")

    @classmethod
    def of(cls, person: Person) -> Self:
        return cls.model_validate(person, from_attributes=True)


class PersonList(BaseModel):
    """The people who may log in, by name."""

    people: list[PersonView]
    next: Next


class NewPerson(BaseModel):
    """A person to be added."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "eva", "role": "engineer"}}, hide_input_in_errors=True
    )

    name: PersonName
    role: Role
    password: Password | None = Field(None, description="without it, a password is generated and returned")


class PersonMade(PersonView):
    """A person who was added."""

    password: str | None = Field(
        description="the generated password, which is not stored; null: the password of the request",
        examples=["kx7p-3mwq-t9ed-vb2n"],
    )


class NewRole(BaseModel):
    """Another role of a person."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"role": "operator"}})

    role: Role


class NewPassword(BaseModel):
    """Another password of a person."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {}}, hide_input_in_errors=True)

    password: Password | None = Field(None, description="without it, a password is generated and returned")


class PasswordMade(BaseModel):
    """The password of a person was changed."""

    password: str | None = Field(
        description="the generated password, which is not stored; null: the password of the request",
        examples=["kx7p-3mwq-t9ed-vb2n"],
    )


class TokenView(BaseModel):
    """A token for a program, without its secret."""

    id: str = Field(examples=["token-01jf6z6tx4w8e1v2m6c3n9q7rb"])
    name: str = Field(description="name of the program", examples=["prometheus"])
    role: Role
    expires_at: datetime
    added_by: str = Field(examples=["admin"])
    added_at: datetime
    used_at: datetime | None = Field(None, description="time of its last use, to the minute; null: no use is known")

    @classmethod
    def of(cls, token: Token, used_at: datetime | None = None) -> Self:
        return cls.model_validate(token, from_attributes=True).model_copy(update={"used_at": used_at})


class TokenList(BaseModel):
    """The tokens that are not revoked, newest first."""

    tokens: list[TokenView]
    next: Next


class NewToken(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "prometheus", "role": "viewer", "days": 90}}
    )

    name: PersonName
    role: Role
    days: int = Field(90, ge=1, le=LONGEST_DAYS, description="days after which the token ends")


class TokenMade(TokenView):
    """A token that was made."""

    secret: str = Field(
        description="the secret, which is not stored; send it as `Authorization: Bearer …`", examples=["seamline_Zk3…"]
    )


class AuditPage(BaseModel):
    """Entries of the audit log, newest first."""

    entries: list[AuditEntry]
    next: Next = Field(examples=["01JF6Z6TX4W8E1V2M6C3N9Q7RB"])
