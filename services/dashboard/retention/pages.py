"""The page of the storage: what is stored, how it grows, and what the retention rules remove."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.dashboard.retention.endpoints import Storage
from services.dashboard.web.templating import show
from shared.contracts.retention import KINDS_WITH_RULES, Kind
from shared.validation import marked

NAMES: Final = {
    Kind.OK: marked("Images, ok"),
    Kind.NG: marked("Images, NG"),
    Kind.UNSURE: marked("Images, unsure"),
    Kind.CAPTURED: marked("Images above 1 MiB, as captured"),
    Kind.HEATMAPS: marked("Heatmaps and overlays"),
    Kind.ARCHIVE: marked("Archive of verdicts"),
    Kind.AUDIT: marked("Audit log"),
    Kind.REFERENCED: marked("Files of labelled and marked frames"),
    Kind.VIDEOS: marked("Uploaded videos, annotations"),
    Kind.DATASETS: marked("Dataset versions"),
    Kind.MODELS: marked("Models"),
    Kind.OTHER: marked("Everything else"),
}

router = APIRouter(include_in_schema=False)


@router.get("/storage")
def show_storage(request: Request, storage: Storage) -> HTMLResponse:
    """Show the storage by kind, its growth per day, and the day on which it is full."""
    return show(request, "storage.html", "accounting", storage=storage.last(), names=NAMES, ruled=KINDS_WITH_RULES)
