"""What a model said of the images that it never learned from: enough to judge them again by other thresholds.

``scores.json`` in a bundle. The network gives scores and the thresholds make verdicts of them, so whoever moves a
threshold needs neither the images nor the network to know what follows.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.contracts.bundle import SCORES, Bundle, BundleError, Variant

DIGITS: Final = 6
Part = Literal["valid", "test"]
Table = tuple[tuple[float, ...], ...]
"""(images, labels)"""


class ScoredSplit(BaseModel):
    """The images of one part of the split, in its order."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    names: tuple[str, ...]
    groups: tuple[str, ...]
    truth: Table = Field(description="0 or 1")
    scores: Table = Field(description="of the trained network, 0 to 1")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if {len(self.groups), len(self.truth), len(self.scores)} != {len(self.names)}:
            raise ValueError("each image has a group, a truth and scores")
        return self


class ScoredImages(BaseModel):
    """Both parts, and what each compiled variant said of the validation part."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    labels: tuple[str, ...] = Field(description="in the order of the columns")
    splits: dict[Part, ScoredSplit]
    variants: dict[Variant, Table] = Field(description="scores of the validation part")

    @model_validator(mode="after")
    def _has_a_column_for_each_label(self) -> Self:
        tables = [table for split in self.splits.values() for table in (split.truth, split.scores)]
        rows = (row for table in (*tables, *self.variants.values()) for row in table)
        if any(len(row) != len(self.labels) for row in rows):
            raise ValueError("each row has a number for each label")
        return self


def as_table(values: NDArray[np.float32]) -> Table:
    """(images, labels), as the file has them."""
    return tuple(map(tuple, np.round(values.astype(np.float64), DIGITS).tolist()))


def as_array(table: Table) -> NDArray[np.float32]:
    """(images, labels), to be reckoned with."""
    return np.array(table, np.float32)


def read_scores(bundle: Bundle) -> ScoredImages:
    """Read the scores of a bundle.

    Raises:
        BundleError: it has none, or they can't be read.
    """
    return parse_scores(bundle.file(SCORES), bundle.version)


def parse_scores(content: bytes, version: str) -> ScoredImages:
    """The scores of a model, as its bundle has them.

    Raises:
        BundleError: they can't be read.
    """
    try:
        return ScoredImages.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(f"{SCORES} of model {version} can't be read: {error.errors()[0]['msg']}") from error
