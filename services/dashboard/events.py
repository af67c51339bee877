"""``/api/events``."""

from __future__ import annotations

from collections.abc import AsyncIterable

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.dashboard.access import Role, at_least
from services.dashboard.live import Hub
from services.dashboard.problems import documented

router = APIRouter(prefix="/api", tags=["live"], dependencies=[at_least(Role.VIEWER)])


@router.get("/events", response_class=EventSourceResponse, responses=documented(401, 503))
async def get_events(request: Request) -> AsyncIterable[ServerSentEvent]:
    """What happens, as it happens (server-sent events).

    `beat` comes every two seconds with the time of the server. `line` and `workers` come at once and whenever they
    change; `frame` when a flagged frame is judged, and again when it is explained; `training` and `model` when
    something moves. The data is the JSON of `/api/lines/{line}`,
    `/api/workers`, `/api/frames/{frame_id}`, `/api/trainings/{training_id}` and `/api/models/{recipe}/production`.
    After a break, connecting again is enough: the state comes first.
    """
    hub: Hub = request.app.state.hub
    async for event in hub.stream():
        yield event
