"""The fields of a page's form, which are in the page's address, so that a person can send the address to another."""

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
        """Return the value of a field; None if it is empty."""
        return self.values.get(name) or None

    def time(self, name: str, clock: Clock) -> datetime | None:
        """Convert the time in a field from the plant's clock to UTC; None if the field is empty or has no time."""
        moment = clock.read(self.get(name))
        return moment.astimezone(UTC) if moment else None

    def address(self, path: str, **changes: str | None) -> str:
        """Return a path with these fields as its query; a change to None removes a field."""
        values = {**self.values, **changes}
        given = urlencode({name: value for name, value in values.items() if value})
        return f"{path}?{given}" if given else path


def _fields(request: Request) -> FormFields:
    return FormFields(dict(request.query_params))


async def _sent_fields(request: Request) -> dict[str, str]:
    return {name: value.strip() for name, value in (await request.form()).items() if isinstance(value, str)}


Fields = Annotated[FormFields, Depends(_fields)]
SentFields = Annotated[dict[str, str], Depends(_sent_fields)]
"""The fields of a form that is sent, where their names depend on what is edited."""
