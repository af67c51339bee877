"""The fields of a page's form: all of them are in its address, so that a page can be sent to somebody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Request


@dataclass(frozen=True)
class Asked:
    """The fields of a form, as they came."""

    fields: dict[str, str]

    def get(self, name: str) -> str | None:
        """A field; None when it is empty."""
        return self.fields.get(name) or None

    def address(self, path: str, **changes: str | None) -> str:
        """Where the same is asked, with some fields changed; None takes one out."""
        fields = {**self.fields, **changes}
        given = urlencode({name: value for name, value in fields.items() if value})
        return f"{path}?{given}" if given else path


def _asked(request: Request) -> Asked:
    return Asked(dict(request.query_params))


Fields = Annotated[Asked, Depends(_asked)]
