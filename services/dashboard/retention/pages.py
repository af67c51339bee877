"""The page of the storage: what is stored, how it grows, and what the retention rules remove."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.dashboard.retention.endpoints import Storage
from services.dashboard.web.templating import show
from shared.contracts.retention_rules import KINDS_WITH_RULES, DataKind
from shared.validation import marked

NAMES: Final = {
    DataKind.OK: marked("Images, ok"),
    DataKind.NG: marked("Images, NG"),
    DataKind.UNSURE: marked("Images, unsure"),
    DataKind.CAPTURED: marked("Images above 1 MiB, as captured"),
    DataKind.HEATMAPS: marked("Heatmaps and overlays"),
    DataKind.ARCHIVE: marked("Archive of verdicts"),
    DataKind.AUDIT: marked("Audit log"),
    DataKind.REFERENCED: marked("Files of labelled and marked frames"),
    DataKind.VIDEOS: marked("Uploaded videos, annotations"),
    DataKind.DATASETS: marked("Dataset versions"),
    DataKind.MODELS: marked("Models"),
    DataKind.OTHER: marked("Everything else"),
}

router = APIRouter(include_in_schema=False)


@router.get("/storage")
def show_storage(request: Request, storage: Storage) -> HTMLResponse:
    """Show the storage by kind, its growth per day, and the day on which it is full."""
    return show(request, "storage.html", "accounting", storage=storage.last(), names=NAMES, ruled=KINDS_WITH_RULES)
