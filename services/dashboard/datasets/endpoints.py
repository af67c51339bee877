"""The endpoints of datasets: ``/api/datasets`` lists datasets and their versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from services.dashboard.datasets.schemas import DatasetList, DatasetVersionList
from services.dashboard.datasets.service import DatasetsService
from services.dashboard.web.authorization import at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.paging import Paged
from services.dashboard.web.problems import documented
from services.dashboard.web.service_registry import provided
from shared.messages import Name

router = APIRouter(prefix="/api/datasets", tags=["datasets"], dependencies=[at_least(Role.VIEWER)])


Datasets = Annotated[DatasetsService, provided(DatasetsService)]


@router.get("", responses=documented(401, 422, 503))
def list_datasets(datasets: Datasets, paging: Paged) -> DatasetList:
    """Return the names of the datasets in pages."""
    return datasets.names(paging)


@router.get("/{dataset}", responses=documented(401, 404, 422, 503))
def list_versions(
    datasets: Datasets, dataset: Annotated[Name, Path(examples=["seam-2026"])], paging: Paged
) -> DatasetVersionList:
    """Return the versions of a dataset in pages, newest first. A training can be requested with any of them."""
    return datasets.versions(dataset, paging)
