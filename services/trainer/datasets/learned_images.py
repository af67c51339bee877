"""Count the images of an evaluation that the model was trained or validated on; figures of such images are too good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.trainer.datasets.held_out import names_learned
from shared.contracts.bundle import Bundle
from shared.datasets.labelled_images import Example


class Learned(BaseModel):
    """The images of an evaluation that a model learned from, or seems to have learned from."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(ge=1)
    of: int = Field(description="number of images of the evaluation")
    known_by: Literal["content", "name"] = Field(
        description="content: the evaluation is on the dataset of the training; name: the names are the same"
    )

    def __str__(self) -> str:
        if self.known_by == "content":
            return (
                f"the model was trained or validated on {self.images} of these {self.of} images, and these figures "
                "flatter: measure it on others"
            )
        return (
            f"{self.images} of these {self.of} images have the names of some that the model was trained or "
            "validated on: if they are the same, these figures flatter"
        )


def learned_by(bundle: Bundle, examples: Sequence[Example], digest: str) -> Learned | None:
    """Count the images that a model learned from; None if there are none, or the model does not list its images.

    Args:
        bundle: the model.
        examples: the images.
        digest: the `shared.contracts.dataset.content_digest` of all images.
    """
    names = names_learned(bundle)
    known = sum(example.name in names for example in examples)
    if not known:
        return None
    same = digest == bundle.manifest.dataset
    return Learned(images=known, of=len(examples), known_by="content" if same else "name")
