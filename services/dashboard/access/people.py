"""What admins do with people and tokens; each of it is audited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Annotated, Final

from pydantic import StringConstraints
from ulid import ULID

from services.dashboard.access import passwords
from services.dashboard.access.audit import Audit
from services.dashboard.access.directory import (
    Directory,
    PasswordSet,
    Person,
    PersonAdded,
    PersonRemoved,
    RoleGiven,
    Token,
    TokenAdded,
    TokenRevoked,
)
from services.dashboard.access.passwords import UnfitPassword
from services.dashboard.access.repository import Register
from services.dashboard.access.sessions import digest_of
from services.dashboard.web.problems import Problem
from services.dashboard.web.roles import Role

PersonName = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")
]
"""Of a person or a token."""
RESERVED: Final = frozenset(
    {"camera", "console", "dashboard", "explainer", "inference", "local", "seamline", "set-up", "system", "trainer"}
)
"""Names that the system itself is the author by, or may be: nobody else has them."""
FIRST: Final = "admin"
"""Name of the first admin."""
TOKEN_START: Final = "seamline_"  # noqa: S105  how every token begins, so that scanners for leaked secrets know one
MEANWHILE: Final = "somebody changed this meanwhile: look again"
LAST_ADMIN: Final = "this is the only admin: make another one first"


class People:
    """People and tokens."""

    def __init__(self, register: Register, audit: Audit) -> None:
        self._register = register
        self._audit = audit

    def look(self) -> Directory:
        """Who is known."""
        return self._register.look()

    def add(self, name: str, role: Role, password: str | None, *, by: str) -> tuple[Person, str | None]:
        """Add a person; without a password, one is made, and returned this once.

        Raises:
            Problem: 409: there is one of that name; 422: the password will not do, or the name is the system's own.
        """
        _check_name(name)
        if name in self.look().people:
            raise Problem(409, f"there is a person {name} already")
        kept, generated = _made(password, name)
        with self._audit.recording("person.add", name, by, role=role.value):
            change = PersonAdded(by=by, at=_now(), name=name, role=role, password=kept)
            change_id, directory = self._register.change(change)
            person = directory.people.get(name)
            if person is None or person.epoch != change_id:
                raise Problem(409, MEANWHILE)
        return person, generated

    def give_role(self, name: str, role: Role, *, by: str) -> Person:
        """Give a person another role. Their sessions end.

        Raises:
            Problem: 404; 409: it is the last admin.
        """
        person = self._find(name)
        if person.role is role:
            return person
        with self._audit.recording("person.role", name, by, role=role.value, before=person.role.value):
            change_id, directory = self._register.change(RoleGiven(by=by, at=_now(), name=name, role=role))
            return _changed(directory, name, change_id)

    def set_password(self, name: str, password: str | None, *, by: str) -> str | None:
        """Give a person another password; without one, one is made, and returned this once. Their sessions end.

        Raises:
            Problem: 404; 422: the password will not do.
        """
        self._find(name)
        kept, generated = _made(password, name)
        with self._audit.recording("person.password", name, by):
            change_id, directory = self._register.change(PasswordSet(by=by, at=_now(), name=name, password=kept))
            _changed(directory, name, change_id)
        return generated

    def remove(self, name: str, *, by: str) -> None:
        """Remove a person. Their sessions end; what they did stays in the audit log.

        Raises:
            Problem: 404; 409: it is the last admin.
        """
        self._find(name)
        with self._audit.recording("person.remove", name, by):
            _, directory = self._register.change(PersonRemoved(by=by, at=_now(), name=name))
            if name in directory.people:
                raise Problem(409, LAST_ADMIN if directory.admins == {name} else MEANWHILE)

    def add_token(self, name: str, role: Role, days: int, *, by: str) -> tuple[Token, str]:
        """A token for a program, and its secret, which is returned this once.

        Raises:
            Problem: 422: the name is the system's own.
        """
        _check_name(name)
        secret = TOKEN_START + token_urlsafe(32)
        token_id = f"token-{str(ULID()).lower()}"
        expires = _now() + timedelta(days=days)
        with self._audit.recording("token.add", token_id, by, name=name, role=role.value, days=days):
            added = TokenAdded(
                by=by, at=_now(), id=token_id, name=name, role=role, digest=digest_of(secret), expires_at=expires
            )
            _, directory = self._register.change(added)
        return directory.tokens[token_id], secret

    def revoke_token(self, token_id: str, *, by: str) -> None:
        """Make a token worthless.

        Raises:
            Problem: 404.
        """
        token = self.look().tokens.get(token_id)
        if token is None:
            raise Problem(404, "there is no such token: GET /api/tokens lists them")
        with self._audit.recording("token.revoke", token_id, by, name=token.name):
            self._register.change(TokenRevoked(by=by, at=_now(), id=token_id))

    def make_first(self, password: str) -> bool:
        """Make the first admin; False when there is an admin, or ``password`` is empty, or the name is taken."""
        directory = self.look()
        if directory.admins or not password or FIRST in directory.people:
            return False
        self.add(FIRST, Role.ADMIN, password, by="set-up")
        return True

    def _find(self, name: str) -> Person:
        person = self.look().people.get(name)
        if person is None:
            raise Problem(404, f"there is no person {name!r}: GET /api/people lists them")
        return person


def _check_name(name: str) -> None:
    if name.strip("._-") in RESERVED:
        raise Problem(422, f"name: the system itself uses {name!r} as an author: take another one")


def _changed(directory: Directory, name: str, change_id: str) -> Person:
    person = directory.people.get(name)
    if person is None or person.epoch != change_id:
        raise Problem(409, LAST_ADMIN if directory.admins == {name} else MEANWHILE)
    return person


def _made(password: str | None, name: str) -> tuple[str, str | None]:
    """The hash of a password, and the password itself if it was made here."""
    if password is None:
        made = passwords.generated()
        return passwords.hashed(made), made
    try:
        passwords.check(password, name)
    except UnfitPassword as error:
        raise Problem(422, str(error)) from error
    return passwords.hashed(password), None


def _now() -> datetime:
    return datetime.now(UTC)
