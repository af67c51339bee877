"""``/api/events``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.datastructures import Headers

from services.dashboard.access.service import AccessService
from services.dashboard.live.hub import Hub
from services.dashboard.store.errors import AWAY
from services.dashboard.web.authorization import Viewer, at_least
from services.dashboard.web.problems import documented
from services.dashboard.web.roles import Role
from services.dashboard.web.services import service_of
from shared.storage.port import StorageError

LOOK_SECONDS: Final = 10.0
"""Between two looks at whether who listens may still do so; it also keeps the session of an open page alive."""

router = APIRouter(prefix="/api", tags=["live"], dependencies=[at_least(Role.VIEWER)])


async def _place(request: Request, caller: Viewer) -> AsyncIterator[None]:
    """Held until the stream ends; asked for before it begins, so that who finds none is told so."""
    hub = service_of(request, Hub)
    with hub.place(caller.name):
        yield


@router.get(
    "/events", response_class=EventSourceResponse, dependencies=[Depends(_place)], responses=documented(401, 503)
)
async def get_events(request: Request) -> AsyncIterable[ServerSentEvent]:
    """What happens, as it happens (server-sent events).

    `beat` comes every two seconds with the time of the server. `away` says what is missing because a server is away, a
    sentence each; an empty list, that nothing is. `line` and `workers` come at once and whenever they
    change; `frame` when a flagged frame is inspected, and again when it is explained; `training` and `model` when
    something moves. The data is the JSON of `/api/lines/{line}`,
    `/api/workers`, `/api/frames/{frame_id}`, `/api/trainings/{training_id}` and `/api/models/{recipe}/production`.
    After a break, connecting again is enough: the state comes first. The stream ends with the session or the token.
    """
    hub, access = service_of(request, Hub), service_of(request, AccessService)
    look_at = time.monotonic() + LOOK_SECONDS
    async for event in hub.stream():
        yield event
        if time.monotonic() >= look_at:
            if not await run_in_threadpool(_still_holds, access, request.headers):
                return
            look_at = time.monotonic() + LOOK_SECONDS


def _still_holds(access: AccessService, headers: Headers) -> bool:
    """Whether who listens would still be let in; nobody is sent away because something cannot be asked."""
    try:
        return access.identify(headers) is not None
    except (*AWAY, StorageError):
        return True
