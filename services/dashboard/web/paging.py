"""Divide lists into pages. A page begins after the last item of the page before, also if the list has changed."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Query
from pydantic import Field
from pydantic_core import from_json

from services.dashboard.web.problems import Problem
from shared.language import gettext

T = TypeVar("T")

MOST: Final = 500
"""Most items of a page."""
USUAL: Final = 100
"""Items of a page by default."""

Place = tuple[int, str]
"""Position of an item in its list."""
EXAMPLE: Final = "Wy0xNzY5ODYxMjAwMDAwMDAwLCAiZXZhIl0"
Before = Annotated[str | None, Query(max_length=200, description="`next` of the page before", examples=[EXAMPLE])]
Next = Annotated[
    str | None,
    Field(description="give it as `before` to get the next page; null when there is none", examples=[EXAMPLE]),
]


@dataclass(frozen=True)
class Paging:
    """Which page of a list is requested; by default the whole list."""

    after: Place | None = None
    limit: int = sys.maxsize

    def page(self, items: Iterable[T], place: Callable[[T], Place]) -> tuple[list[T], str | None]:
        """Return the items of this page in the order of their places, and `next`.

        Args:
            items: all items, in any order.
            place: returns the place of an item; it differs for each item.
        """
        rest = sorted((item for item in items if self.after is None or place(item) > self.after), key=place)
        shown = rest[: self.limit]
        return shown, cursor_of(place(shown[-1])) if len(rest) > len(shown) else None


ALL: Final = Paging()


def _paging(before: Before = None, limit: Annotated[int, Query(ge=1, le=MOST)] = USUAL) -> Paging:
    return Paging(place_of(before), limit)


Paged = Annotated[Paging, Depends(_paging)]


def newest(moment: datetime, name: str) -> Place:
    """Return the place in a list with the newest item first: the negative Unix time in µs, and the name."""
    return -round(moment.timestamp() * 1_000_000), name


def cursor_of(place: Place) -> str:
    """Return the cursor of a place, as clients send it."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> Place | None:
    """Return the place of a cursor.

    Raises:
        Problem: 422: the text is not a cursor.
    """
    if cursor is None:
        return None
    try:
        number, name = from_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return int(number), str(name)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise Problem(422, gettext("before: take it from `next` of the page before")) from error
