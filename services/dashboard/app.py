"""The application: its routes and its middleware."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from services.dashboard.access import endpoints as access_endpoints
from services.dashboard.access import pages as access_pages
from services.dashboard.access import session_pages
from services.dashboard.access.service import AccessService
from services.dashboard.accounting import endpoints as accounting_endpoints
from services.dashboard.accounting import pages as accounting_pages
from services.dashboard.checks import endpoints as checks_endpoints
from services.dashboard.checks import pages as checks_pages
from services.dashboard.datasets import endpoints as datasets_endpoints
from services.dashboard.frames import endpoints as frames_endpoints
from services.dashboard.frames import pages as frames_pages
from services.dashboard.labelling import endpoints as labelling_endpoints
from services.dashboard.labelling import pages as labelling_pages
from services.dashboard.line_recipes import endpoints as line_recipes_endpoints
from services.dashboard.line_recipes import pages as line_recipes_pages
from services.dashboard.lines import endpoints as lines_endpoints
from services.dashboard.lines import pages as lines_pages
from services.dashboard.live import endpoints as live_endpoints
from services.dashboard.models import endpoints as models_endpoints
from services.dashboard.models import pages as models_pages
from services.dashboard.models import threshold_pages
from services.dashboard.quality import endpoints as quality_endpoints
from services.dashboard.quality import pages as quality_pages
from services.dashboard.recipes import endpoints as recipes_endpoints
from services.dashboard.recipes import pages as recipes_pages
from services.dashboard.retention import endpoints as retention_endpoints
from services.dashboard.retention import pages as retention_pages
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from services.dashboard.trainings import endpoints as trainings_endpoints
from services.dashboard.trainings import pages as trainings_pages
from services.dashboard.web import api_docs, health_endpoints
from services.dashboard.web.authorization import at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.deadline import Deadline
from services.dashboard.web.guard import Guard
from services.dashboard.web.language_choice import Language
from services.dashboard.web.openapi import install_document
from services.dashboard.web.problems import Answer, install_problems
from services.dashboard.web.readiness import Readiness
from services.dashboard.web.server import serving
from services.dashboard.web.service_registry import Services
from services.dashboard.web.templating import show_problem
from shared.messaging.port import MessagingError
from shared.storage.port import StorageError

MOST_BYTES: Final = 1024**2
"""Largest request body, except for uploads: it is read before the role of its caller is checked."""

ENDPOINTS: Final = (
    lines_endpoints,
    line_recipes_endpoints,
    checks_endpoints,
    frames_endpoints,
    quality_endpoints,
    accounting_endpoints,
    labelling_endpoints,
    models_endpoints,
    trainings_endpoints,
    recipes_endpoints,
    datasets_endpoints,
    retention_endpoints,
    access_endpoints,
    live_endpoints,
    health_endpoints,
    api_docs,
)
"""The API, in the order of its document."""
PAGES: Final = (
    accounting_pages,
    retention_pages,
    quality_pages,
    frames_pages,
    labelling_pages,
    access_pages,
    trainings_pages,
    recipes_pages,
    models_pages,
    threshold_pages,
    checks_pages,
    line_recipes_pages,
    lines_pages,
)


def build_app(settings: DashboardSettings, services: Services) -> tuple[FastAPI, Answer]:
    """Return the application, and the function that answers a request with a problem."""
    app = FastAPI(
        title="Seamline",
        summary="Visual quality control: lines, defect rates, frames with their heatmaps, models and trainings.",
        description=api_docs.DESCRIPTION,
        version="1",
        docs_url=None,
        redoc_url=None,
        max_body_size=MOST_BYTES,
        openapi_url=None,  # `api_docs` serves it, to callers who are let in
    )
    app.state.services = services
    for module in ENDPOINTS:
        app.include_router(module.router)
    pages = APIRouter(include_in_schema=False, dependencies=[at_least(Role.VIEWER)])
    for module in PAGES:
        pages.include_router(module.router)
    app.include_router(pages)
    app.include_router(session_pages.router)
    app.mount("/static", StaticFiles(packages=[("services.dashboard.web", "static")]), name="static")
    install_document(app)
    answer = install_problems(app, show_problem, away=(*REDIS_UNAVAILABLE, StorageError, MessagingError))
    app.add_middleware(Guard, settings=settings, identify=services.get(AccessService).identify, answer=answer)
    app.add_middleware(Deadline, readiness=services.get(Readiness), answer=answer)
    app.add_middleware(Language)
    return app, answer


@contextmanager
def serving_app(settings: DashboardSettings, services: Services) -> Iterator[None]:
    """Serve the application until the block ends."""
    app, answer = build_app(settings, services)
    with serving(app, answer, settings):
        yield
