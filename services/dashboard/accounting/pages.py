"""The page of the accounting: what became of every frame, and the parked messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from services.dashboard.access.audit import Audited
from services.dashboard.accounting.endpoints import Accounts, ParkedId, QueueName
from services.dashboard.web.authorization import Engineer
from services.dashboard.web.callers import Role
from services.dashboard.web.form import Fields
from services.dashboard.web.paging import Before, Paging, place_of
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.language import gettext
from shared.validation import marked

SPANS: Final = {
    "day": (marked("24 hours"), timedelta(days=1)),
    "week": (marked("7 days"), timedelta(days=7)),
    "month": (marked("31 days"), timedelta(days=31)),
}
MOST_HOURS: Final = 200
"""Rows of the table; the API returns all of them."""
DECISIONS: Final = 50

router = APIRouter(include_in_schema=False)


@router.get("/accounting")
def show_accounting(
    request: Request,
    accounts: Accounts,
    fields: Fields,
    *,
    span: Annotated[Literal["day", "week", "month"], Query()] = "day",
    before: Before = None,
) -> HTMLResponse:
    """Show captured = inspected + dropped + parked + in flight, and the parked messages."""
    now = datetime.now(UTC)
    account, parked = accounts.overview(now - SPANS[span][1], now)
    return show(
        request,
        "accounting.html",
        "accounting",
        account=account,
        open_hours=[hour for hour in account.hours if hour.inspected < hour.captured],
        most=MOST_HOURS,
        parked=parked,
        fields=fields,
        decided=accounts.parked.decisions(Paging(place_of(before), DECISIONS)),
        spans={name: title for name, (title, _) in SPANS.items()},
        span=span,
    )


@router.post("/accounting/parked/{queue}/{parked_id}")
def decide(
    accounts: Accounts,
    *,
    queue: QueueName,
    parked_id: ParkedId,
    caller: Engineer,
    audit: Audited,
    action: Annotated[Literal["replay", "discard"], Form()],
    note: Annotated[str, Form(max_length=500)] = "",
) -> RedirectResponse:
    """Replay or discard one message, and show the page again."""
    if action == "discard" and not caller.may(Role.ADMIN):
        raise Problem(403, gettext("this requires the role admin"))
    with audit.recording(f"parked.{action}", f"{queue}/{parked_id}", caller.name, note=note):
        accounts.parked.decide(queue, parked_id, action, by=caller.name, note=note)
    return RedirectResponse("/accounting#decisions", status_code=303)
