"""The endpoints of accounting and of parked messages: ``/api/accounting`` and ``/api/parked``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query

from services.dashboard.access.audit import Audited
from services.dashboard.accounting.schemas import Accounting, DecisionList, DecisionRequest, ParkedDecision, ParkedList
from services.dashboard.accounting.service import AccountingService
from services.dashboard.web.authorization import Admin, Engineer, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.paging import Paged
from services.dashboard.web.problems import documented
from services.dashboard.web.query_times import QueryTime
from services.dashboard.web.service_registry import provided
from shared.messages import Name

router = APIRouter(prefix="/api", tags=["accounting"], dependencies=[at_least(Role.VIEWER)])


Accounts = Annotated[AccountingService, provided(AccountingService)]
QueueName = Annotated[str, Path(pattern=r"^[a-z]+\.[a-z]+$", examples=["inference.frames"])]
ParkedId = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$", examples=["0f3c9a1b2d4e5f60718293a4"])]


@router.get("/accounting", responses=documented(401, 404, 422, 503))
def get_accounting(
    accounts: Accounts,
    first: Annotated[QueryTime | None, Query(alias="from", description="default: a day before `to`")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="default: now")] = None,
    line: Annotated[Name | None, Query(description="only frames of this line")] = None,
) -> Accounting:
    """Return what became of every frame, by camera and by hour: captured = inspected + dropped + parked + in flight."""
    last = last or datetime.now(UTC)
    return accounts.account(first or last - timedelta(days=1), last, line)


@router.get("/parked", responses=documented(401, 422, 503))
def list_parked(accounts: Accounts, paging: Paged) -> ParkedList:
    """Return the parked messages with their reasons in pages, newest first: the oldest 200 of each queue.

    The list may be some seconds old.
    """
    return accounts.parked.page(paging)


@router.get("/parked/decisions", responses=documented(401, 422, 503))
def list_decisions(accounts: Accounts, paging: Paged) -> DecisionList:
    """Return the decisions about parked messages of the last 30 days in pages, newest first."""
    return accounts.parked.decisions(paging)


@router.post("/parked/{queue}/{parked_id}/replay", responses=documented(401, 403, 404, 409, 422, 503))
def replay_message(
    accounts: Accounts,
    queue: QueueName,
    parked_id: ParkedId,
    body: DecisionRequest,
    *,
    caller: Engineer,
    audit: Audited,
) -> ParkedDecision:
    """Put a message back into its queue, like a new message."""
    with audit.recording("parked.replay", f"{queue}/{parked_id}", caller.name, note=body.note):
        return accounts.parked.decide(queue, parked_id, "replay", by=caller.name, note=body.note)


@router.post("/parked/{queue}/{parked_id}/discard", responses=documented(401, 403, 404, 422, 503))
def discard_message(
    accounts: Accounts, queue: QueueName, parked_id: ParkedId, body: DecisionRequest, *, caller: Admin, audit: Audited
) -> ParkedDecision:
    """Remove a message from its queue. It is stored with the decision in object storage, below `parked/`."""
    with audit.recording("parked.discard", f"{queue}/{parked_id}", caller.name, note=body.note):
        return accounts.parked.decide(queue, parked_id, "discard", by=caller.name, note=body.note)
