"""Who comes in: by password and session, by token, or because it is this machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from starlette.datastructures import Headers

from services.dashboard.access import passwords
from services.dashboard.access.audit import Audit
from services.dashboard.access.cookies import cookies_of
from services.dashboard.access.directory import Person
from services.dashboard.access.people import People
from services.dashboard.access.register import Register
from services.dashboard.access.roles import LOCAL, Caller
from services.dashboard.access.sessions import Sessions, digest_of
from services.dashboard.access.throttle import Throttle
from services.dashboard.problems import Problem

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

    def log_in(self, name: str, password: str, device: str | None, address: str) -> LoggedIn:
        """Begin a session.

        Args:
            name: as it was typed.
            password: as it was typed.
            device: what the browser keeps since somebody logged in with it before.
            address: from where, for the log.

        Raises:
            Problem: 401: one of both is wrong; 429: too many tries.
        """
        name = name.strip().lower()
        who = self._throttle.who(name, device)
        self._throttle.admit(who)
        person = self._register.look().people.get(name)
        if not passwords.matches(person.password if person else None, password) or person is None:
            _log.warning("a login failed", person=name if person else "unknown", address=address)
            raise Problem(401, WRONG)
        self._audit.record("session.begin", name, name, address=address)
        self._throttle.forgive(who)
        known = who.startswith("device-")
        return self._begin(person, device=None if known else self._throttle.remember(name))

    def log_out(self, caller: Caller) -> None:
        """End the caller's session."""
        if caller.session:
            self._audit.record("session.end", caller.name, caller.name)
            self._sessions.end(caller.session)

    def change_password(self, caller: Caller, current: str, new: str) -> LoggedIn:
        """Another password of one's own. All one's sessions end; a new one begins.

        Raises:
            Problem: 401: the present password is wrong; 403: not a person; 422: the new one will not do; 429.
        """
        if caller.kind != "person":
            raise Problem(403, "only a person who has logged in has a password")
        who = self._throttle.who(caller.name, None) + "-own"
        self._throttle.admit(who)
        person = self._register.look().people.get(caller.name)
        if person is None or not passwords.matches(person.password, current):
            raise Problem(403, "the present password is wrong")
        self.people.set_password(caller.name, new, by=caller.name)
        self._throttle.forgive(who)
        return self._begin(self._register.look().people[caller.name], device=None)

    def _begin(self, person: Person, device: str | None) -> LoggedIn:
        session_id = self._sessions.begin(person)
        caller = Caller(person.name, person.role, session=digest_of(session_id))
        return LoggedIn(caller, session_id, device, self._sessions.longest)

    def _by_session(self, digest: str) -> Caller | None:
        session = self._sessions.find(digest)
        person = self._register.look().people.get(session.person) if session else None
        if session is None or person is None or person.epoch != session.epoch:
            return None
        return Caller(person.name, person.role, session=digest)

    def _by_token(self, secret: str) -> Caller | None:
        token = self._register.look().token_of(digest_of(secret))
        if token is None or token.expires_at <= datetime.now(UTC):
            return None
        return Caller(f"token:{token.name}", token.role, "token")
