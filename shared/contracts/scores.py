"""The scores of a model on images that it did not learn from, ``scores.json`` in a bundle.

Thresholds turn scores into verdicts, so the effect of other thresholds follows from these scores, without the images or
the network.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.contracts.bundle import SCORES, Bundle, BundleError, Variant
from shared.validation import first_problem

DIGITS: Final = 6
Part = Literal["valid", "test"]
Table = tuple[tuple[float, ...], ...]
"""(images, labels)"""


class ScoredSplit(BaseModel):
    """The images of one split, in its order."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    names: tuple[str, ...]
    groups: tuple[str, ...]
    truth: Table = Field(description="0 or 1")
    scores: Table = Field(description="scores of the trained network, 0 to 1")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if {len(self.groups), len(self.truth), len(self.scores)} != {len(self.names)}:
            raise ValueError("each image has a group, a truth and scores")
        return self


class ScoredImages(BaseModel):
    """The scores by which thresholds are chosen (``valid``) and measured (``test``), and the scores of the proofs.

    ``valid`` has the images of the validation split. If the last layer alone was fitted, it also has the images of the
    training split, and the scores are out of fold: by a network that did not learn from an image's group.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    labels: tuple[str, ...] = Field(description="names of the labels, in the order of the columns")
    splits: dict[Part, ScoredSplit]
    network: Table | None = Field(
        None,
        description="scores of the trained network on the validation split; null if they are in `valid`",
    )
    variants: dict[Variant, Table] = Field(description="scores of the compiled variants on the validation split")

    @model_validator(mode="after")
    def _has_a_column_for_each_label(self) -> Self:
        tables = [table for split in self.splits.values() for table in (split.truth, split.scores)]
        rows = (row for table in (*tables, self.network or (), *self.variants.values()) for row in table)
        if any(len(row) != len(self.labels) for row in rows):
            raise ValueError("each row has a number for each label")
        return self

    @property
    def proved(self) -> Table:
        """Return the scores of the trained network, with which the scores of the variants are compared."""
        return self.splits["valid"].scores if self.network is None else self.network


def as_table(values: NDArray[np.float32]) -> Table:
    """Return scores as the file has them: (images, labels)."""
    return tuple(map(tuple, np.round(values.astype(np.float64), DIGITS).tolist()))


def as_array(table: Table) -> NDArray[np.float32]:
    """Return scores as an array: (images, labels)."""
    return np.array(table, np.float32)


def read_scores(bundle: Bundle) -> ScoredImages:
    """Read the scores of a bundle.

    Raises:
        BundleError: the bundle has no scores, or they can't be read.
    """
    return parse_scores(bundle.file(SCORES), bundle.version)


def parse_scores(content: bytes, version: str) -> ScoredImages:
    """Parse ``scores.json``.

    Raises:
        BundleError: the scores can't be read.
    """
    try:
        return ScoredImages.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(f"{SCORES} of model {version} can't be read: {first_problem(error)}") from error
