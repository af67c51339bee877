"""The endpoints for monitoring the dashboard: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.dashboard.web.authorization import anyone, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import documented
from services.dashboard.web.readiness import Readiness, Ready
from services.dashboard.web.service_registry import provided

router = APIRouter(tags=["watching"])


@router.get("/healthz", dependencies=[anyone()], response_class=Response)
async def get_health() -> Response:
    """200 as long as the process answers. It needs no login."""
    return Response("ok\n", media_type="text/plain")


@router.get(
    "/readyz",
    dependencies=[at_least(Role.VIEWER)],
    responses={503: {"model": Ready, "description": "A server is away, or counts are incomplete"}, **documented(401)},
)
async def get_readiness(readiness: Annotated[Readiness, provided(Readiness)], response: Response) -> Ready:
    """200 when every server that the dashboard needs is there, and its counts are complete."""
    ready = readiness.current()
    response.status_code = 200 if ready.ready else 503
    return ready


@router.get("/metrics", dependencies=[at_least(Role.VIEWER)], response_class=Response, responses=documented(401))
def get_metrics() -> Response:
    """Metrics for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
