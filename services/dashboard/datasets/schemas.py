"""The requests and answers of the API about datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from services.dashboard.web.paging import Next
from shared.contracts.dataset import DatasetVersion


class DatasetVersionView(BaseModel):
    """A version of a dataset. Its content never changes."""

    reference: str = Field(description="the name of the version in a training", examples=["seam-2026@0003-3f9a2c1d"])
    dataset: str
    version: str
    made_at: datetime
    made_by: str
    source: str = Field(description="the folder or prefix that it was read from")
    digest: str
    images: int
    groups: int
    labels: dict[str, int] = Field(description="number of images with each label")
    unlearnable: list[str] = Field(
        description="labels that all images have, or none: nothing can be learned or measured about them"
    )

    @classmethod
    def of(cls, version: DatasetVersion) -> Self:
        """Return a version without its images."""
        return cls(
            reference=version.reference,
            dataset=version.dataset,
            version=version.version,
            made_at=version.made_at,
            made_by=version.made_by,
            source=version.source,
            digest=version.digest,
            images=len(version.images),
            groups=version.group_count,
            labels=version.counts,
            unlearnable=[name for name, count in version.counts.items() if count in (0, len(version.images))],
        )


class DatasetList(BaseModel):
    """The names of the datasets."""

    datasets: list[str]
    next: Next


class DatasetVersionList(BaseModel):
    """The versions of a dataset, newest first."""

    versions: list[DatasetVersionView]
    next: Next
