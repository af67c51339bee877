"""Estimate how long a training takes: by earlier trainings on this installation, or else by a stated default."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from statistics import median
from typing import Final

from services.dashboard.datasets.service import DatasetsService
from services.dashboard.models.service import ModelsService
from services.dashboard.trainings.repository import TrainingRepository
from services.dashboard.web.problems import Problem
from shared.contracts.training import TrainingOptions
from shared.messages import TrainingState
from shared.recipe import Recipe, RecipeError, parse_recipe

FIXED_SECONDS: Final = 60.0
"""For what does not depend on the number of images: loading TensorFlow, compiling and proving the variants."""
IMAGE_SECONDS: Final = 0.3
"""For each image beside the epochs: reading, features, thresholds and heatmaps, at `PIXELS`."""
TRIED_SECONDS: Final = 1.0
"""For each image where there is time to try everything: features of larger images, at `PIXELS`."""
EPOCH_SECONDS: Final = {"efficientnet-lite0": 0.05, "lite0-depths": 0.05, "lite0-texture": 0.034, "compact": 0.01}
"""For each image in each epoch, by architecture, at `PIXELS`, on two cores: see docs/measurements.md."""
OTHER_EPOCH_SECONDS: Final = 0.04
"""The same for any other architecture."""
EPOCHS: Final = 30
"""Epochs of a training from random weights."""
GOOD_ONLY: Final = "lite0-patches"
"""The architecture of models of good images alone, which is fitted without epochs."""
PRETRAINED: Final = ("lite0-depths", "efficientnet-lite0", GOOD_ONLY)
"""Architectures that are fitted without epochs, unless epochs are requested."""
PIXELS: Final = 224 * 224
EARLIER: Final = 5
"""Number of earlier trainings that count, the newest first."""
SEARCHED: Final = 20
"""Number of trainings among which the earlier ones are searched for, the newest first."""
MOST_MEASURED: Final = 200
"""Finished trainings whose work is held."""
BOUNDS: Final = (0.05, 20.0)
"""An earlier training that took less or more than this, relative to the default, is no measure."""


@dataclass(frozen=True)
class Work:
    """What determines how long a training takes."""

    architecture: str
    images: int
    pixels: int
    """Of an image of the network."""
    epochs: int | None = None
    """None: as the architecture has it."""
    minutes: float = 0.0
    """In which a training without epochs tries other features and images; 0: it tries nothing."""

    @property
    def default_seconds(self) -> float:
        """Return the seconds that it takes on two cores."""
        epochs = self.epochs if self.epochs is not None else 0 if self.architecture in PRETRAINED else EPOCHS
        size = self.images * self.pixels / PIXELS
        each = IMAGE_SECONDS + epochs * EPOCH_SECONDS.get(self.architecture, OTHER_EPOCH_SECONDS)
        seconds = FIXED_SECONDS + size * each
        if epochs or self.architecture == GOOD_ONLY:
            return seconds
        return max(seconds, min(60 * self.minutes, seconds + size * TRIED_SECONDS))


@dataclass(frozen=True)
class Estimate:
    """How long a training takes, about."""

    seconds: float
    trainings: int
    """Number of earlier trainings by which it is estimated; 0: by the default."""


def estimate(work: Work, earlier: Sequence[tuple[Work, float]]) -> Estimate:
    """Estimate the seconds of a training.

    Args:
        work: the training.
        earlier: finished trainings with their seconds, newest first. Those of the same architecture count, or else all.
    """
    ratios = [(each.architecture, seconds / each.default_seconds) for each, seconds in earlier]
    usable = [(name, ratio) for name, ratio in ratios if BOUNDS[0] < ratio < BOUNDS[1]]
    same = [ratio for name, ratio in usable if name == work.architecture] or [ratio for _, ratio in usable]
    counted = same[:EARLIER]
    return Estimate(work.default_seconds * (median(counted) if counted else 1.0), len(counted))


class EstimatesService:
    """Estimates trainings by those that finished on this installation."""

    def __init__(self, trainings: TrainingRepository, models: ModelsService, datasets: DatasetsService) -> None:
        self._trainings = trainings
        self._models = models
        self._datasets = datasets
        self._measured = lru_cache(maxsize=MOST_MEASURED)(self._measure)  # a finished training never changes

    def of(self, work: Work) -> Estimate:
        """Return how long a training takes, about."""
        return estimate(work, self._earlier())

    def remaining(self, training_id: str) -> Estimate | None:
        """Return how much longer a running training takes, about.

        None if it does not run, can't be estimated, or takes longer than was estimated.
        """
        training = self._trainings.find(training_id)
        if training is None or training.requested is None or training.started is None or training.progressed is None:
            return None
        requested, progressed = training.requested, training.progressed
        if progressed.state is not TrainingState.RUNNING:
            return None
        with suppress(Problem, RecipeError):
            if requested.recipe_yaml:
                recipe = parse_recipe(requested.recipe_yaml)
            else:
                version = self._models.production(requested.recipe).version or ""
                recipe = self._models.recipe(requested.recipe, version)
            options = TrainingOptions.model_validate(requested.options)
            architecture = GOOD_ONLY if options.good_only else requested.architecture
            epochs = progressed.epochs or options.epochs
            if work := self._work(requested.dataset, recipe, architecture, epochs, options.minutes):
                whole = self.of(work)
                past = (datetime.now(UTC) - training.started.at).total_seconds()
                return Estimate(whole.seconds - past, whole.trainings) if past < whole.seconds else None
        return None

    def _earlier(self) -> list[tuple[Work, float]]:
        """Return the finished trainings with their seconds, newest first."""
        found = []
        for training_id, _ in sorted(self._trainings.ids(), key=lambda each: each[1], reverse=True)[:SEARCHED]:
            training = self._trainings.find(training_id)
            if training is None or training.progressed is None or training.started is None:
                continue
            ended, version = training.progressed, training.progressed.model_version
            if ended.state is not TrainingState.FINISHED or version is None:
                continue
            with suppress(Problem):  # the model may be gone
                if work := self._measured(ended.recipe, version):
                    found.append((work, (ended.at - training.started.at).total_seconds()))
        return found

    def _measure(self, recipe: str, version: str) -> Work | None:
        """Return the work of the training of a model; None if its dataset is not among the stored versions.

        Raises:
            Problem: 404: there is no such model.
        """
        model = self._models.get(recipe, version)
        epochs = len(self._models.curves(recipe, version))
        recipe_of_model = self._models.recipe(recipe, version)
        minutes = model.options.get("minutes")
        limit = float(minutes) if isinstance(minutes, int | float) else 0.0
        return self._work(model.dataset, recipe_of_model, model.architecture, epochs, limit)

    def _work(self, dataset: str, recipe: Recipe, architecture: str, epochs: int | None, minutes: float) -> Work | None:
        """Return the work of a training; None if its dataset is not among the stored versions."""
        version, pixels = self._datasets.version(dataset), recipe.image.height * recipe.image.width
        return Work(architecture, version.images, pixels, epochs, minutes) if version else None
