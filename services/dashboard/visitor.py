"""Who is asking: the name under which the log and the messages know a person."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security.utils import get_authorization_scheme_param

from services.dashboard.guard import basic_credentials

NOBODY_IN_PARTICULAR: Final = "operator"


def _visitor(request: Request) -> str:
    scheme, credentials = get_authorization_scheme_param(request.headers.get("authorization"))
    user = basic_credentials(credentials)[0] if scheme.lower() == "basic" else ""
    return user[:64] or NOBODY_IN_PARTICULAR


Visitor = Annotated[str, Depends(_visitor)]
"""The user name that was given with the password."""
