"""Who comes in: by password and session, by token, or because it is this machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from starlette.datastructures import Headers

from services.dashboard.access import passwords
from services.dashboard.access.audit import Audit
from services.dashboard.access.directory import Person
from services.dashboard.access.people import People
from services.dashboard.access.repository import Register
from services.dashboard.access.sessions import OpenSession, Sessions, digest_of
from services.dashboard.access.throttle import Throttle
from services.dashboard.web.cookies import cookies_of
from services.dashboard.web.problems import Problem
from services.dashboard.web.roles import LOCAL, Caller

WRONG = "name or password is wrong"
"""Whichever it is: nobody learns who exists."""

_log = structlog.stdlib.get_logger("access")


@dataclass(frozen=True)
class LoggedIn:
    """What a browser is told once."""

    caller: Caller
    session_id: str
    device: str | None
    """None: the browser is known already."""
    longest: timedelta


class Access:
    """Lets people and programs in."""

    def __init__(
        self, register: Register, sessions: Sessions, throttle: Throttle, audit: Audit, *, login: bool
    ) -> None:
        """``login``: people have to log in; without it, whoever reaches this process may do everything."""
        self._register = register
        self._sessions = sessions
        self._throttle = throttle
        self._audit = audit
        self.login = login
        self.people = People(register, audit)

    def identify(self, headers: Headers) -> Caller | None:
        """Who sends a request; None for a stranger.

        Raises:
            redis.exceptions.RedisError: nobody knows whether the session holds.
            StorageError: nobody knows who is known.
        """
        if not self.login:
            return LOCAL
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._by_token(credentials.strip())
        session_id = cookies_of(headers).session
        return self._by_session(digest_of(session_id)) if session_id else None

    def log_in(self, name: str, password: str, device: str | None, address: str, browser: str = "") -> LoggedIn:
        """Begin a session.

        Args:
            name: as it was typed.
            password: as it was typed.
            device: what the browser keeps since somebody logged in with it before.
            address: from where.
            browser: what it calls itself, for the list of one's sessions.

        Raises:
            Problem: 401: one of both is wrong; 429: too many tries.
        """
        name = name.strip().lower()
        counters = self._throttle.counters(name, device, address)
        self._throttle.admit(counters)
        person = self._register.look().people.get(name)
        if not passwords.matches(person.password if person else None, password) or person is None:
            _log.warning("a login failed", person=name if person else "unknown", address=address)
            raise Problem(401, WRONG)
        self._audit.record("session.begin", name, name, address=address)
        self._throttle.forgive(counters)
        known = self._throttle.knows(name, device)
        device = None if known else self._throttle.remember(name)
        return self._begin(person, device, address, browser)

    def knows(self, name: str, device: str | None) -> bool:
        """Whether somebody of that name has logged in with this browser."""
        return self._throttle.knows(name.strip().lower(), device)

    def log_out(self, caller: Caller) -> None:
        """End the caller's session."""
        if caller.session:
            self._audit.record("session.end", caller.name, caller.name)
            self._sessions.end(caller.session)

    def sessions(self, caller: Caller) -> list[OpenSession]:
        """The caller's own sessions, the one used last first; none of a caller who has not logged in."""
        person = self._register.look().people.get(caller.name) if caller.kind == "person" else None
        return self._sessions.all_of(person) if person else []

    def end_session(self, caller: Caller, session_id: str) -> None:
        """End one of the caller's own sessions.

        Raises:
            Problem: 404.
        """
        found = next((each for each in self.sessions(caller) if each.id == session_id), None)
        if found is None:
            raise Problem(404, "there is no such session of yours: GET /api/sessions lists them")
        self._audit.record("session.end", caller.name, caller.name, address=found.session.address)
        self._sessions.end(found.digest)

    def end_other_sessions(self, caller: Caller) -> None:
        """End the caller's own sessions, but for the one that asks."""
        others = [each for each in self.sessions(caller) if each.digest != caller.session]
        if others:
            self._audit.record("session.end", caller.name, caller.name, others=len(others))
        for each in others:
            self._sessions.end(each.digest)

    def change_password(self, caller: Caller, current: str, new: str, address: str = "", browser: str = "") -> LoggedIn:
        """Another password of one's own. All one's sessions end; a new one begins.

        Raises:
            Problem: 401: the present password is wrong; 403: not a person; 422: the new one will not do; 429.
        """
        if caller.kind != "person":
            raise Problem(403, "only a person who has logged in has a password")
        counters = self._throttle.counter_of(caller.name)
        self._throttle.admit(counters)
        person = self._register.look().people.get(caller.name)
        if person is None or not passwords.matches(person.password, current):
            raise Problem(403, "the present password is wrong")
        self.people.set_password(caller.name, new, by=caller.name)
        self._throttle.forgive(counters)
        return self._begin(self._register.look().people[caller.name], None, address, browser)

    def _begin(self, person: Person, device: str | None, address: str, browser: str) -> LoggedIn:
        session_id = self._sessions.begin(person, address, browser)
        caller = Caller(person.name, person.role, session=digest_of(session_id))
        return LoggedIn(caller, session_id, device, self._sessions.longest)

    def _by_session(self, digest: str) -> Caller | None:
        session = self._sessions.find(digest)
        person = self._register.look().people.get(session.person) if session else None
        if session is None or person is None or person.epoch != session.epoch:
            return None
        return Caller(person.name, person.role, session=digest)

    def tokens_used(self) -> dict[str, datetime]:
        """When each token was used last, within a minute; those that never were are not in it."""
        return self._sessions.used()

    def _by_token(self, secret: str) -> Caller | None:
        token = self._register.look().token_of(digest_of(secret))
        if token is None or token.expires_at <= datetime.now(UTC):
            return None
        self._sessions.note_used(token.id)
        return Caller(f"token:{token.name}", token.role, "token")
