"""The endpoint of retention: ``/api/storage``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from services.dashboard.retention.repository import StorageRepository
from services.dashboard.retention.schemas import StorageView
from services.dashboard.web.authorization import at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import Problem, documented
from services.dashboard.web.service_registry import provided
from shared.language import gettext

router = APIRouter(prefix="/api/storage", tags=["storage"], dependencies=[at_least(Role.VIEWER)])

Storage = Annotated[StorageRepository, provided(StorageRepository)]


@router.get("", responses=documented(401, 404, 503))
def get_storage(storage: Storage) -> StorageView:
    """Return what is stored by kind, how it grows, and the day on which storage is full; from an hour ago at most."""
    view = storage.last()
    if view is None:
        raise Problem(404, gettext("the first inventory is not taken yet: try again in a minute"))
    return view
