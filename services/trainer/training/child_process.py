"""Run one training, in the child process that the trainer starts."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.trainer.architectures.pretraining import weights_in
from services.trainer.datasets.download import DatasetAccess
from services.trainer.errors import TrainerError
from services.trainer.jobs.child import (
    EpochDone,
    Failed,
    Finished,
    Postponed,
    Reported,
    StageReached,
    end_with_parent,
    report,
)
from services.trainer.jobs.trainings import CHECKPOINT, Trainings
from services.trainer.jobs.work_folders import delete_work_folder
from services.trainer.settings import TrainerSettings
from services.trainer.training.build import build
from services.trainer.training.checkpoint import StoredCheckpoint
from services.trainer.training.model_spec import ModelSpec
from services.trainer.training.options import read_options
from shared.contracts import bundle as bundles
from shared.contracts.promotion import production_version
from shared.datasets.coverage import refuse_unlearnable
from shared.datasets.tables import DatasetError
from shared.messages import TrainingRequested
from shared.recipe import Recipe, RecipeError, parse_recipe
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore, StorageUnavailable

DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class ProgressReporter:
    """Reports each stage and epoch to the trainer."""

    def on_stage(self, stage: str) -> None:
        report(StageReached(stage=stage))

    def on_share(self, share: float) -> None:
        """Report nothing: shares are too frequent."""

    def on_batch(self, epoch: int, share: float, loss: float) -> None:
        """Report nothing: batches are too frequent."""

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        report(EpochDone(epoch=epoch, epochs=epochs, metrics=metrics))


def run(training_id: str, settings: TrainerSettings) -> None:
    """Run a training, and report how it ended.

    The work folder is deleted before the last report, because the trainer ends this process after that report.
    """
    end_with_parent()
    delete_work_folder(settings.work_folder, training_id)  # an earlier process may have been killed
    try:
        result = train(training_id, settings.work_folder / training_id, settings)
    finally:
        delete_work_folder(settings.work_folder, training_id)
    report(result)


def train(training_id: str, folder: Path, settings: TrainerSettings) -> Reported:
    """Run a training with a local folder for its files, and return how it ended."""
    store = open_store(settings)
    trainings = Trainings(store, settings.name, settings.lease_seconds)
    try:
        request = trainings.request(training_id)
        return Finished(model_version=make_model(request, trainings, store, folder, settings))
    except (TrainerError, DatasetError, RecipeError, bundles.BundleError) as error:
        return Failed(reason=str(error))
    except StorageUnavailable as error:
        return Postponed(reason=str(error))
    except OSError as error:
        return (Postponed if error.errno in DISK_FULL else Failed)(reason=f"the trainer's own disk: {error}")


def make_model(
    request: TrainingRequested, trainings: Trainings, store: ObjectStore, folder: Path, settings: TrainerSettings
) -> str:
    """Make the requested model unless it is stored already, and return its version."""
    version = bundles.version_name(request.at, request.training_id)
    if store.exists(f"{bundles.folder_of(request.recipe, version)}/{bundles.MANIFEST}"):
        return version
    begun = trainings.begun(request.training_id)
    options, recipe = read_options(request.options), recipe_of(begun or request, store)
    datasets = DatasetAccess(store, folder / "dataset", settings.dataset_folder)
    found = datasets.fetch(
        (begun or request).dataset,
        recipe,
        requested_by=request.by,
        on_problem="skip" if options.skip_problems else "stop",
    )
    spec = ModelSpec(
        version,
        found.dataset,
        recipe,
        request.architecture,
        options,
        request.at,
        weights_in(settings.weights_folder, request.architecture),
        dataset=found.version.reference,
        notes=found.import_warnings,
    ).settled()
    if not spec.is_good_only:
        refuse_unlearnable(spec.images.label_names, [example.labels for example in spec.images.examples])
    if begun is None:
        settled = {"dataset": found.version.reference, "recipe_yaml": recipe.to_yaml()}
        trainings.begin(request.model_copy(update=settled))
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    checkpoint = StoredCheckpoint(store, trainings.key(request.training_id, CHECKPOINT))
    built = build(spec, scratch, ProgressReporter(), checkpoint)
    with suppress(bundles.BundleExists):  # another trainer took the training and was faster
        bundles.write_bundle(store, built.bundle.manifest, built.bundle.files)
    return version


def recipe_of(request: TrainingRequested, store: ObjectStore) -> Recipe:
    """Return the recipe of the request, or else that of the model in production; the training adds an anomaly."""
    if request.recipe_yaml is None:
        version = production_version(store, request.recipe)
        if version is None:
            raise RecipeError(f"recipe {request.recipe!r} has no model in production: send the recipe with the request")
        return bundles.read_bundle(store, request.recipe, version).recipe.without_anomaly
    recipe = parse_recipe(request.recipe_yaml)
    if recipe.name != request.recipe:
        raise RecipeError(f"the request is for recipe {request.recipe!r}, and its recipe file is of {recipe.name!r}")
    return recipe.without_anomaly
