"""What model to build, and whether it learns from good images alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from services.trainer.architectures import lite0_patches
from services.trainer.datasets.versions import with_labels
from services.trainer.training.good_only import why_good_only
from shared.contracts.bundle import Variant
from shared.contracts.training import TrainingOptions
from shared.datasets.good_only import good_only, good_only_recipe
from shared.datasets.labelled_images import Dataset, OnProblem
from shared.recipe import Recipe


@dataclass(frozen=True)
class ModelSpec:
    """What to build."""

    version: str
    images: Dataset
    """The labelled images, with the labels of the recipe in its order; for a recipe with ``good_by``, with those that
    people gave them, until `settled` decides what the model learns."""
    recipe: Recipe
    architecture: str
    options: TrainingOptions
    requested_at: datetime
    weights: Path | None = None
    """A file of initial weights; by default, the ones that are installed for the architecture."""
    dataset: str | None = None
    """The dataset version of the images; None if they are of a folder."""
    notes: tuple[str, ...] = ()
    """What was noticed about the images before."""

    @property
    def is_good_only(self) -> bool:
        """Return whether the model learns from images of good parts alone."""
        return self.recipe.good_by is not None

    def settled(self) -> ModelSpec:
        """Return what is built: a model of good images alone, if that is requested, or if few images are NG.

        Raises:
            WrongOption: no label says whether a part is good, or another option contradicts.
            DatasetError: images lack the labels to learn, or a good image has a label that the recipe does not know.
        """
        if self.is_good_only and self.options.good_only and self.architecture == lite0_patches.NAME:
            return self
        on_problem: OnProblem = "skip" if self.options.skip_problems else "stop"
        why = why_good_only(self.images, self.recipe, self.architecture, self.options, self.weights)
        if why is None and not self.is_good_only:
            return self
        if why is None:
            recipe = self.recipe.annotated
            note = (
                f"the model learned the labels {', '.join(recipe.label_names)}; the recipe is that of a model that "
                "learned from good images alone, as a training does while few images show an NG part"
            )
            return replace(
                self,
                images=with_labels(self.images, recipe, on_problem),
                recipe=recipe,
                notes=(*self.notes, note),
            )
        recipe = good_only_recipe(self.recipe)
        return replace(
            self,
            images=good_only(self.images, recipe, on_problem),
            recipe=recipe,
            architecture=lite0_patches.NAME,
            options=self.options.model_copy(update={"good_only": True, "variants": (Variant.FP32,)}),
            notes=(*self.notes, why),
        )
