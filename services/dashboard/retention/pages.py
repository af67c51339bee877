"""The page of the storage: what is stored, how it grows, and what the retention rules remove."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.dashboard.retention.endpoints import Storage
from services.dashboard.web.templating import show
from shared.contracts.retention import RULED, Kind

NAMES: Final = {
    Kind.OK: "Images, ok",
    Kind.NG: "Images, NG",
    Kind.UNSURE: "Images, unsure",
    Kind.CAPTURED: "Images above 1 MiB, as captured",
    Kind.HEATMAPS: "Heatmaps and overlays",
    Kind.ARCHIVE: "Archive of verdicts",
    Kind.AUDIT: "Audit log",
    Kind.REFERENCED: "Files of labelled and marked frames",
    Kind.VIDEOS: "Uploaded videos, annotations",
    Kind.DATASETS: "Dataset versions",
    Kind.MODELS: "Models",
    Kind.OTHER: "Everything else",
}

router = APIRouter(include_in_schema=False)


@router.get("/storage")
def show_storage(request: Request, storage: Storage) -> HTMLResponse:
    """Show the storage by kind, its growth per day, and the day on which it is full."""
    return show(request, "storage.html", "accounting", storage=storage.last(), names=NAMES, ruled=RULED)
