"""The application: the services of each feature, and the paths that lead to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from services.dashboard.access import Audit, session_pages
from services.dashboard.access import endpoints as access_endpoints
from services.dashboard.access.service import Access
from services.dashboard.accounting import endpoints as accounting_endpoints
from services.dashboard.accounting.service import AccountingService
from services.dashboard.datasets import endpoints as datasets_endpoints
from services.dashboard.datasets.service import DatasetsService
from services.dashboard.frames import endpoints as frames_endpoints
from services.dashboard.frames.marks import Marks
from services.dashboard.frames.service import FramesService
from services.dashboard.labelling import endpoints as labelling_endpoints
from services.dashboard.labelling.assembly import LabellingRoom
from services.dashboard.lines import endpoints as lines_endpoints
from services.dashboard.lines import pages as pages_endpoints
from services.dashboard.lines.service import LinesService
from services.dashboard.live import endpoints as events
from services.dashboard.live.hub import Hub
from services.dashboard.models import endpoints as models_endpoints
from services.dashboard.models.comparisons import ComparisonsService
from services.dashboard.models.service import ModelsService
from services.dashboard.models.threshold_sets import ThresholdSets
from services.dashboard.quality import endpoints as quality_endpoints
from services.dashboard.quality.batches import BatchesService
from services.dashboard.quality.service import QualityService
from services.dashboard.settings import DashboardSettings
from services.dashboard.trainings import endpoints as trainings_endpoints
from services.dashboard.trainings.service import TrainingsService
from services.dashboard.web import documents
from services.dashboard.web import health_endpoints as watching
from services.dashboard.web.deadline import Deadline
from services.dashboard.web.guard import Guard
from services.dashboard.web.openapi import install_document
from services.dashboard.web.problems import install_problems
from services.dashboard.web.readiness import Readiness
from services.dashboard.web.templating import Clock

MOST_BYTES: Final = 1024**2
"""Of what one request sends, but for uploads: it is read before anybody knows which role it takes."""

FEATURES: Final = (
    lines_endpoints,
    frames_endpoints,
    quality_endpoints,
    accounting_endpoints,
    labelling_endpoints,
    models_endpoints,
    trainings_endpoints,
    datasets_endpoints,
    access_endpoints,
    events,
)
"""Of the API, in the order of its document."""


@dataclass(frozen=True)
class Rooms:
    """What the endpoints find in ``app.state`` under the same names."""

    access: Access
    audit: Audit
    lines: LinesService
    frames: FramesService
    marks: Marks
    models: ModelsService
    comparisons: ComparisonsService
    threshold_sets: ThresholdSets
    trainings: TrainingsService
    datasets: DatasetsService
    hub: Hub
    readiness: Readiness
    accounting: AccountingService
    quality: QualityService
    batches: BatchesService
    labelling: LabellingRoom
    clock: Clock


def build_app(settings: DashboardSettings, rooms: Rooms) -> FastAPI:
    """The API and the pages."""
    app = FastAPI(
        title="Seamline",
        summary="Visual quality control: lines, defect rates, frames with their heatmaps, models and trainings.",
        description=documents.DESCRIPTION,
        version="1",
        docs_url=None,
        redoc_url=None,
        max_body_size=MOST_BYTES,
        openapi_url=None,  # `documents` has it, for those who are let in
    )
    for name, room in vars(rooms).items():
        setattr(app.state, name, room)
    for feature in FEATURES:
        app.include_router(feature.router)
    app.include_router(watching.router)
    app.include_router(documents.router)
    app.include_router(pages_endpoints.router)
    app.include_router(session_pages.router)
    app.mount("/static", StaticFiles(packages=[("services.dashboard.web", "static")]), name="static")
    install_document(app)
    answer = install_problems(app, pages_endpoints.show_problem)
    app.add_middleware(Guard, settings=settings, access=rooms.access, answer=answer)
    app.add_middleware(Deadline, readiness=rooms.readiness, answer=answer)
    app.state.answer = answer
    return app
