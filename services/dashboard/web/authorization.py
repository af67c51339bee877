"""Dependencies of endpoints, which require a role of the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Depends as Dependency

from services.dashboard.web.callers import Caller, Role
from services.dashboard.web.problems import Problem
from shared.language import gettext


def _require(needed: Role) -> Callable[[Request], Caller]:
    def caller(request: Request) -> Caller:
        who: Caller = request.state.caller
        if not who.may(needed):
            raise Problem(
                403,
                gettext(
                    "this requires the role %(needed)s, and %(name)s is %(role)s: ask an admin",
                    needed=needed,
                    name=who.name,
                    role=who.role,
                ),
            )
        return who

    caller.role = needed  # type: ignore[attr-defined]  # for `role_of`
    return caller


_CALLERS = {role: _require(role) for role in Role}


def _require_nothing() -> None:
    """Accept every request."""


_require_nothing.role = None  # type: ignore[attr-defined]


def anyone() -> Dependency:
    """Return the dependency of an endpoint that needs no login. `guard.OPEN` lists the same endpoints."""
    dependency: Dependency = Depends(_require_nothing)
    return dependency


def at_least(role: Role) -> Dependency:
    """Return a dependency for ``dependencies=[…]`` of a router or an endpoint that does not use the caller."""
    dependency: Dependency = Depends(_CALLERS[role])
    return dependency


Viewer = Annotated[Caller, Depends(_CALLERS[Role.VIEWER])]
Operator = Annotated[Caller, Depends(_CALLERS[Role.OPERATOR])]
Engineer = Annotated[Caller, Depends(_CALLERS[Role.ENGINEER])]
Admin = Annotated[Caller, Depends(_CALLERS[Role.ADMIN])]


def role_of(dependant: Dependant) -> Role | None:
    """Return the role that an endpoint requires; None if it needs no login.

    Raises:
        LookupError: the endpoint requires no role and is not open to anyone.
    """
    required = list(_roles_of(dependant))
    if not required:
        raise LookupError("an endpoint requires a role: Viewer, Operator, Engineer, Admin, at_least, or anyone")
    return max((role for role in required if role), key=lambda role: role.rank, default=None)


def _roles_of(dependant: Dependant) -> Iterator[Role | None]:
    for part in dependant.dependencies:
        if part.call and hasattr(part.call, "role"):
            yield part.call.role
        yield from _roles_of(part)
