"""What endpoints ask for: a caller with a role, and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Depends as Dependency

from services.dashboard.access.audit import Audit
from services.dashboard.access.roles import Caller, Role
from services.dashboard.web.problems import Problem


def _caller(needed: Role) -> Callable[[Request], Caller]:
    def caller(request: Request) -> Caller:
        who: Caller = request.state.caller
        if not who.may(needed):
            raise Problem(403, f"this takes the role {needed}, and {who.name} is {who.role}: ask an admin")
        return who

    caller.role = needed  # type: ignore[attr-defined]  # for `role_of`
    return caller


_CALLERS = {role: _caller(role) for role in Role}


def _stranger() -> None:
    """Nothing is asked."""


_stranger.role = None  # type: ignore[attr-defined]


def anyone() -> Dependency:
    """For endpoints that strangers may use: the way in, and what tells nothing. `guard.OPEN` lists them as well."""
    dependency: Dependency = Depends(_stranger)
    return dependency


def role_of(dependant: Dependant) -> Role | None:
    """The role that an endpoint takes; None when it is open to anyone.

    Raises:
        LookupError: it does not say.
    """
    asked = list(_asked(dependant))
    if not asked:
        raise LookupError(
            "an endpoint says which role it takes: Viewer, Operator, Engineer, Admin, at_least, or anyone"
        )
    return max((role for role in asked if role), key=lambda role: role.rank, default=None)


def _asked(dependant: Dependant) -> Iterator[Role | None]:
    for part in dependant.dependencies:
        if part.call and hasattr(part.call, "role"):
            yield part.call.role
        yield from _asked(part)


def at_least(role: Role) -> Dependency:
    """For ``dependencies=[…]`` of a router or an endpoint that need not know who asks."""
    dependency: Dependency = Depends(_CALLERS[role])
    return dependency


Viewer = Annotated[Caller, Depends(_CALLERS[Role.VIEWER])]
"""Anybody who is let in."""
Operator = Annotated[Caller, Depends(_CALLERS[Role.OPERATOR])]
"""An operator, or who may do more."""
Engineer = Annotated[Caller, Depends(_CALLERS[Role.ENGINEER])]
"""An engineer, or an admin."""
Admin = Annotated[Caller, Depends(_CALLERS[Role.ADMIN])]
"""An admin."""


def _audit(request: Request) -> Audit:
    audit: Audit = request.app.state.audit
    return audit


Audited = Annotated[Audit, Depends(_audit)]
"""The audit log: ``audit.record(…)``, or ``with audit.recording(…)`` around what may fail."""
