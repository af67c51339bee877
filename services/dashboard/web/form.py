"""The fields of a page's form. The page's address holds all of them, so that it can be sent to another person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Request

from services.dashboard.web.templating import Clock


@dataclass(frozen=True)
class FormFields:
    """The fields of a form as the browser sent them."""

    values: dict[str, str]

    def get(self, name: str) -> str | None:
        """Return a field; None when it is empty."""
        return self.values.get(name) or None

    def time(self, name: str, clock: Clock) -> datetime | None:
        """Return a time of the plant's clock in UTC; None when the field is empty or holds no time."""
        moment = clock.read(self.get(name))
        return moment.astimezone(UTC) if moment else None

    def address(self, path: str, **changes: str | None) -> str:
        """Return a path with these fields as its query; a change to None removes a field."""
        values = {**self.values, **changes}
        given = urlencode({name: value for name, value in values.items() if value})
        return f"{path}?{given}" if given else path


def _fields(request: Request) -> FormFields:
    return FormFields(dict(request.query_params))


Fields = Annotated[FormFields, Depends(_fields)]
