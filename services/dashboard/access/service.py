"""Log people in, and identify callers by session or token, or as a program on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from starlette.datastructures import Headers

from services.dashboard.access import passwords
from services.dashboard.access.audit import Audit
from services.dashboard.access.directory import Person
from services.dashboard.access.people import People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.access.sessions import OpenSession, Sessions, digest_of
from services.dashboard.access.throttle import Throttle
from services.dashboard.web.callers import LOCAL, Caller
from services.dashboard.web.cookies import cookies_of
from services.dashboard.web.problems import Problem
from shared.language import gettext, translated
from shared.validation import marked

WRONG = marked("name or password is wrong")
"""The answer does not say which of both is wrong, so that it does not reveal which people exist."""

_log = structlog.stdlib.get_logger("access")


@dataclass(frozen=True)
class LoggedIn:
    """A new session, with the secrets that only the browser gets."""

    caller: Caller
    session_id: str
    device: str | None
    """The value of the device cookie; None: the browser already has one."""
    longest: timedelta


class AccessService:
    """Logs people in, and identifies callers."""

    def __init__(
        self, repository: PeopleRepository, sessions: Sessions, throttle: Throttle, audit: Audit, *, login: bool
    ) -> None:
        """If ``login`` is False, every caller may do everything."""
        self._repository = repository
        self._sessions = sessions
        self._throttle = throttle
        self._audit = audit
        self.login = login
        self.people = People(repository, audit)

    def identify(self, headers: Headers) -> Caller | None:
        """Return the caller who sends a request; None for an unknown caller.

        Raises:
            redis.exceptions.RedisError: the session can't be checked.
            StorageError: the people can't be read.
        """
        if not self.login:
            return LOCAL
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = self._repository.directory().token_of(digest_of(credentials.strip()))
            if token is None or token.expires_at <= datetime.now(UTC):
                return None
            self._sessions.note_used(token.id)
            return Caller(f"token:{token.name}", token.role, "token")
        session_id = cookies_of(headers).session
        if session_id is None:
            return None
        digest = digest_of(session_id)
        session = self._sessions.find(digest)
        person = self._repository.directory().people.get(session.person) if session else None
        if session is None or person is None or person.epoch != session.epoch:
            return None
        return Caller(person.name, person.role, session=digest, language=person.language)

    def log_in(self, name: str, password: str, device: str | None, address: str, browser: str = "") -> LoggedIn:
        """Begin a session.

        Args:
            name: the name as it was typed.
            password: the password as it was typed.
            device: the device cookie of the browser; None if the browser has none.
            address: the address of the browser.
            browser: the user agent of the browser, for the list of sessions.

        Raises:
            Problem: 401: name or password is wrong; 429: too many attempts.
        """
        name = name.strip().lower()
        counters = self._throttle.counters(name, device, address)
        self._throttle.admit(counters)
        person = self._repository.directory().people.get(name)
        if not passwords.matches(person.password if person else None, password) or person is None:
            _log.warning("a login failed", person=name if person else "unknown", address=address)
            raise Problem(401, translated(WRONG))
        self._audit.record("session.begin", name, name, address=address)
        self._throttle.forgive(counters)
        device = None if self._throttle.knows(name, device) else self._throttle.remember(name)
        return self._begin(person, device, address, browser)

    def knows(self, name: str, device: str | None) -> bool:
        """Return whether the person with this name has logged in with this browser before."""
        return self._throttle.knows(name.strip().lower(), device)

    def log_out(self, caller: Caller) -> None:
        """End the caller's session."""
        if caller.session:
            self._audit.record("session.end", caller.name, caller.name)
            self._sessions.end(caller.session)

    def sessions(self, caller: Caller) -> list[OpenSession]:
        """Return the caller's own sessions, the last used first; none if the caller is a token."""
        person = self._repository.directory().people.get(caller.name) if caller.kind == "person" else None
        return self._sessions.all_of(person) if person else []

    def end_session(self, caller: Caller, session_id: str) -> None:
        """End one of the caller's own sessions.

        Raises:
            Problem: 404: the caller has no such session.
        """
        found = next((each for each in self.sessions(caller) if each.id == session_id), None)
        if found is None:
            raise Problem(404, gettext("there is no such session of yours: GET /api/sessions lists them"))
        self._audit.record("session.end", caller.name, caller.name, address=found.session.address)
        self._sessions.end(found.digest)

    def end_other_sessions(self, caller: Caller) -> None:
        """End the caller's own sessions, except the one of this request."""
        others = [each for each in self.sessions(caller) if each.digest != caller.session]
        if others:
            self._audit.record("session.end", caller.name, caller.name, others=len(others))
        for each in others:
            self._sessions.end(each.digest)

    def change_password(self, caller: Caller, current: str, new: str, address: str = "", browser: str = "") -> LoggedIn:
        """Change the caller's own password, end all their sessions, and begin a new one.

        Raises:
            Problem: 403: the caller is not a person, or the present password is wrong; 422: the new password is not
                accepted; 429: too many attempts.
        """
        if caller.kind != "person":
            raise Problem(403, gettext("only a person who has logged in has a password"))
        counters = self._throttle.counters_after_login(caller.name)
        self._throttle.admit(counters)
        person = self._repository.directory().people.get(caller.name)
        if person is None or not passwords.matches(person.password, current):
            raise Problem(403, gettext("the present password is wrong"))
        self.people.change_password(caller.name, new, by=caller.name)
        self._throttle.forgive(counters)
        return self._begin(self._repository.directory().people[caller.name], None, address, browser)

    def tokens_used(self) -> dict[str, datetime]:
        """Return the time of the last use of each token, to the minute; unused tokens are left out."""
        return self._sessions.tokens_used()

    def _begin(self, person: Person, device: str | None, address: str, browser: str) -> LoggedIn:
        session_id = self._sessions.begin(person, address, browser)
        caller = Caller(person.name, person.role, session=digest_of(session_id), language=person.language)
        return LoggedIn(caller, session_id, device, self._sessions.longest)
