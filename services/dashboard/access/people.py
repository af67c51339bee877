"""Manage people and tokens. Each change is recorded in the audit log."""

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
    LanguageChosen,
    PasswordChanged,
    Person,
    PersonAdded,
    PersonRemoved,
    RoleChanged,
    Token,
    TokenAdded,
    TokenRevoked,
)
from services.dashboard.access.passwords import PasswordRefused
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.access.sessions import digest_of
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import Problem
from shared.language import gettext, translated
from shared.validation import marked

PersonName = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")
]
"""The name of a person or a token."""
RESERVED: Final = frozenset(
    {
        "camera",
        "console",
        "dashboard",
        "explainer",
        "gateway",
        "inference",
        "local",
        "seamline",
        "set-up",
        "system",
        "trainer",
    }
)
"""Names of services and programs in the audit log, which no person or token may have."""
FIRST_ADMIN: Final = "admin"
TOKEN_PREFIX: Final = "seamline_"  # noqa: S105  every token has it, so that scanners for leaked secrets find tokens
CHANGED_MEANWHILE: Final = marked("another person changed this meanwhile: load the page again")
LAST_ADMIN: Final = marked("this is the only admin: make another one first")


class People:
    """The people and tokens, and the changes that admins make to them."""

    def __init__(self, repository: PeopleRepository, audit: Audit) -> None:
        self._repository = repository
        self._audit = audit

    def directory(self) -> Directory:
        """Return all people and tokens."""
        return self._repository.directory()

    def add(self, name: str, role: Role, password: str | None, *, by: str) -> tuple[Person, str | None]:
        """Add a person. Without a password, generate one and return it; it is not stored.

        Raises:
            Problem: 409: there is a person of that name; 422: the password is not accepted, or the name is reserved.
        """
        _check_name(name)
        if name in self.directory().people:
            raise Problem(409, gettext("there is a person %(name)s already", name=name))
        password_hash, generated = _hash_of(password, name)
        with self._audit.recording("person.add", name, by, role=role.value):
            change = PersonAdded(by=by, at=datetime.now(UTC), name=name, role=role, password=password_hash)
            change_id, directory = self._repository.store(change)
            person = directory.people.get(name)
            if person is None or person.epoch != change_id:
                raise Problem(409, translated(CHANGED_MEANWHILE))
        return person, generated

    def change_role(self, name: str, role: Role, *, by: str) -> Person:
        """Change the role of a person, and end their sessions.

        Raises:
            Problem: 404: there is no such person; 409: the person is the last admin, or was changed meanwhile.
        """
        person = self._find(name)
        if person.role is role:
            return person
        with self._audit.recording("person.role", name, by, role=role.value, before=person.role.value):
            change = RoleChanged(by=by, at=datetime.now(UTC), name=name, role=role)
            return _changed(name, *self._repository.store(change))

    def change_password(self, name: str, password: str | None, *, by: str) -> str | None:
        """Change the password of a person, and end their sessions. Without a password, generate one and return it.

        Raises:
            Problem: 404: there is no such person; 409: the person was changed meanwhile; 422: the password is not
                accepted.
        """
        self._find(name)
        password_hash, generated = _hash_of(password, name)
        with self._audit.recording("person.password", name, by):
            change = PasswordChanged(by=by, at=datetime.now(UTC), name=name, password=password_hash)
            _changed(name, *self._repository.store(change))
        return generated

    def choose_language(self, name: str, language: str) -> None:
        """Store the language in which a person wants the pages.

        Raises:
            Problem: 404: there is no such person.
        """
        if self._find(name).language != language:
            with self._audit.recording("person.language", name, name, language=language):
                self._repository.store(LanguageChosen(by=name, at=datetime.now(UTC), name=name, language=language))

    def remove(self, name: str, *, by: str) -> None:
        """Remove a person, and end their sessions; their actions stay in the audit log.

        Raises:
            Problem: 404: there is no such person; 409: the person is the last admin, or was changed meanwhile.
        """
        self._find(name)
        with self._audit.recording("person.remove", name, by):
            _, directory = self._repository.store(PersonRemoved(by=by, at=datetime.now(UTC), name=name))
            if name in directory.people:
                raise Problem(409, translated(LAST_ADMIN if directory.is_last_admin(name) else CHANGED_MEANWHILE))

    def add_token(self, name: str, role: Role, days: int, *, by: str) -> tuple[Token, str]:
        """Return a new token of a program, and its secret, which is not stored.

        Raises:
            Problem: 422: the name is reserved.
        """
        _check_name(name)
        secret = TOKEN_PREFIX + token_urlsafe(32)
        token_id, now = f"token-{str(ULID()).lower()}", datetime.now(UTC)
        with self._audit.recording("token.add", token_id, by, name=name, role=role.value, days=days):
            change = TokenAdded(
                by=by,
                at=now,
                id=token_id,
                name=name,
                role=role,
                digest=digest_of(secret),
                expires_at=now + timedelta(days=days),
            )
            _, directory = self._repository.store(change)
        return directory.tokens[token_id], secret

    def revoke_token(self, token_id: str, *, by: str) -> None:
        """Revoke a token.

        Raises:
            Problem: 404: there is no such token.
        """
        token = self.directory().tokens.get(token_id)
        if token is None:
            raise Problem(404, gettext("there is no such token: GET /api/tokens lists them"))
        with self._audit.recording("token.revoke", token_id, by, name=token.name):
            self._repository.store(TokenRevoked(by=by, at=datetime.now(UTC), id=token_id))

    def make_first(self, password: str) -> bool:
        """Make the first admin; False if there is an admin, or ``password`` is empty, or the name is taken."""
        directory = self.directory()
        if directory.admins or not password or FIRST_ADMIN in directory.people:
            return False
        self.add(FIRST_ADMIN, Role.ADMIN, password, by="set-up")
        return True

    def _find(self, name: str) -> Person:
        person = self.directory().people.get(name)
        if person is None:
            raise Problem(404, gettext("there is no person %(name)r: GET /api/people lists them", name=name))
        return person


def _check_name(name: str) -> None:
    if name.strip("._-") in RESERVED:
        raise Problem(422, gettext("name: the system itself uses %(name)r as an author: take another one", name=name))


def _changed(name: str, change_id: str, directory: Directory) -> Person:
    """Return a person after a change; raise a `Problem` if the change was void."""
    person = directory.people.get(name)
    if person is None or person.epoch != change_id:
        raise Problem(409, translated(LAST_ADMIN if directory.is_last_admin(name) else CHANGED_MEANWHILE))
    return person


def _hash_of(password: str | None, name: str) -> tuple[str, str | None]:
    """Return the hash of a password; without a password, return the hash of a generated one and the generated one."""
    if password is None:
        generated = passwords.generate()
        return passwords.hash_password(generated), generated
    try:
        passwords.check(password, name)
    except PasswordRefused as error:
        raise Problem(422, str(error)) from error
    return passwords.hash_password(password), None
