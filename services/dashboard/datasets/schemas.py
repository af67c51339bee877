"""The requests and answers of the API about datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from services.dashboard.web.paging import Next
from shared.contracts.dataset import DatasetVersion
from shared.datasets.coverage import FEWEST_GROUPS


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
    label_groups: dict[str, tuple[int, int]] = Field(
        description="number of groups with images that have each label, and with images that lack it"
    )
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
            label_groups=version.label_groups,
            unlearnable=[name for name, count in version.counts.items() if count in (0, len(version.images))],
        )

    def tested(self, label: str, share: float) -> int:
        """Return about how many images of a test split have a label, or lack it if these are rarer.

        A split takes whole groups, unless there are fewer groups than splits.

        Args:
            label: the name of the label.
            share: the share of the test split, 0 to 1.
        """
        images, groups = min(
            zip((self.labels[label], self.images - self.labels[label]), self.label_groups[label], strict=True)
        )
        if self.groups < FEWEST_GROUPS or not groups:
            return round(images * share)
        return round(round(groups * share) * images / groups)


class DatasetList(BaseModel):
    """The names of the datasets."""

    datasets: list[str]
    next: Next


class DatasetVersionList(BaseModel):
    """The versions of a dataset, newest first."""

    versions: list[DatasetVersionView]
    next: Next
