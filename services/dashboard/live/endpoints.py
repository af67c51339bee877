"""The endpoint of live events: ``/api/events``."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.datastructures import Headers

from services.dashboard.access.service import AccessService
from services.dashboard.live.hub import Hub
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from services.dashboard.web.authorization import Viewer, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import documented
from services.dashboard.web.service_registry import service_of
from shared.language import ENGLISH, language, reported, translated
from shared.storage.port import StorageError

CHECK_SECONDS: Final = 10.0
"""Seconds between two checks that the caller is still logged in; each check also extends the caller's session."""

SENTENCES: Final = frozenset({"reason", "last_error"})
"""Fields of an event that contain a sentence, which is translated."""

router = APIRouter(prefix="/api", tags=["live"], dependencies=[at_least(Role.VIEWER)])


async def _place(request: Request, caller: Viewer) -> AsyncIterator[None]:
    """Reserve one of the limited connections until the stream ends; answer 503 if none is free."""
    hub = service_of(request, Hub)
    with hub.place(caller.name):
        yield


@router.get(
    "/events", response_class=EventSourceResponse, dependencies=[Depends(_place)], responses=documented(401, 503)
)
async def get_events(request: Request) -> AsyncIterable[ServerSentEvent]:
    """The changes as they happen (server-sent events).

    `beat` is sent every two seconds with the time of the server. `away` has a sentence for each server that is
    unavailable, which says what does not work without it, or one while counts are being rebuilt. `line` and `workers`
    are sent at once and whenever they change; `frame` when a flagged frame is inspected, and again when it is
    explained; `training` and `model` when they change. The data is the JSON of `/api/lines/{line}`, `/api/workers`,
    `/api/frames/{frame_id}`, `/api/trainings/{training_id}` and `/api/models/{recipe}/production`. After an
    interruption, connect again: the present states are sent first. The stream ends with the session or the token.
    """
    hub, access = service_of(request, Hub), service_of(request, AccessService)
    check_at = time.monotonic() + CHECK_SECONDS
    async for event in hub.stream():
        yield in_language(event)
        if time.monotonic() >= check_at:
            if not await run_in_threadpool(_is_logged_in, access, request.headers):
                return
            check_at = time.monotonic() + CHECK_SECONDS


def in_language(event: ServerSentEvent) -> ServerSentEvent:
    """Return an event with its sentences in the language of the request."""
    if language() == ENGLISH or event.event not in ("line", "away") or event.raw_data is None:
        return event
    data = json.loads(event.raw_data)
    data = [translated(each) for each in data] if event.event == "away" else _in_language(data)
    return ServerSentEvent(event=event.event, raw_data=json.dumps(data))


def _in_language(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_language(each) for each in value]
    if isinstance(value, dict):
        return {
            name: reported(each) if name in SENTENCES and each else _in_language(each) for name, each in value.items()
        }
    return value


def _is_logged_in(access: AccessService, headers: Headers) -> bool:
    """Return whether the caller is still logged in; true while Redis or object storage is unavailable."""
    try:
        return access.identify(headers) is not None
    except (*REDIS_UNAVAILABLE, StorageError):
        return True
