"""One training that was asked for by message, in the child process."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from services.trainer.architectures.pretraining import weights_in
from services.trainer.building import Order, build
from services.trainer.child import EpochDone, Failed, Finished, Postponed, StageReached, end_with_parent, tell
from services.trainer.download import Datasets, Material, Reading
from services.trainer.errors import TrainerError
from services.trainer.naming import version_name
from services.trainer.options import read_options
from services.trainer.settings import TrainerSettings
from services.trainer.trainings import Trainings
from shared.messages import TrainingRequested
from shared.recipe import Recipe, RecipeError, parse_recipe
from shared.storage import open_store
from shared.storage.port import ObjectStore, StorageUnavailable
from shared.vision import bundle as bundles


class _Teller:
    """Tells the trainer about each stage and epoch."""

    def on_stage(self, stage: str) -> None:
        """Tell."""
        tell(StageReached(stage=stage))

    def on_batch(self, epoch: int, share: float, loss: float) -> None:
        """Too often to tell."""

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        """Tell."""
        tell(EpochDone(epoch=epoch, epochs=epochs, metrics=metrics))


def work(training_id: str, settings: TrainerSettings) -> None:
    """Train, and put the bundle into object storage; tell the trainer how it goes."""
    end_with_parent()
    store = open_store(settings)
    folder = settings.work_folder / training_id
    trainings = Trainings(store, settings.name, settings.lease_seconds)
    try:
        request = trainings.request(training_id)
        tell(Finished(model_version=_trained(request, trainings, store, folder, settings)))
    except (TrainerError, RecipeError, bundles.BundleError) as error:
        tell(Failed(reason=str(error)))
    except StorageUnavailable as error:
        tell(Postponed(reason=str(error)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _trained(
    request: TrainingRequested, trainings: Trainings, store: ObjectStore, folder: Path, settings: TrainerSettings
) -> str:
    """The version of the model; a training that was done, but not told, is not done again."""
    version = version_name(request.requested_at, request.training_id)
    if store.exists(f"{bundles.folder_of(request.recipe, version)}/{bundles.MANIFEST}"):
        return version
    options, recipe = read_options(request.options), _recipe(request, store)
    reading = Reading(recipe, "skip" if options.skip_problems else "stop", by=request.requested_by)
    material = _material(request, trainings, Datasets(store, folder / "dataset", settings.dataset_folder), reading)
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    order = Order(
        version,
        material.folder,
        recipe,
        request.architecture,
        options,
        request.requested_at,
        weights_in(settings.weights_folder, request.architecture),
        dataset=material.version.reference,
        notes=material.notes,
    )
    built = build(order, scratch, _Teller(), trainings.checkpoint(request.training_id))
    with suppress(bundles.BundleExists):  # another trainer, which took the training for abandoned, was faster
        bundles.write_bundle(store, built.bundle.manifest, built.bundle.files)
    return version


def _material(request: TrainingRequested, trainings: Trainings, datasets: Datasets, reading: Reading) -> Material:
    """What to learn from; a training that is resumed goes on with the version that it began with."""
    begun = trainings.dataset(request.training_id)
    material = datasets.fetch(begun or request.dataset, reading)
    if begun is None:
        trainings.learns_from(request.training_id, material.version.reference)
    return material


def _recipe(request: TrainingRequested, store: ObjectStore) -> Recipe:
    """The recipe that was sent, or that of the model in production."""
    if request.recipe_yaml is None:
        version = bundles.production_version(store, request.recipe)
        if version is None:
            raise RecipeError(f"recipe {request.recipe!r} has no model in production: send the recipe with the request")
        return bundles.read_bundle(store, request.recipe, version).recipe
    recipe = parse_recipe(request.recipe_yaml)
    if recipe.name != request.recipe:
        raise RecipeError(f"the request is for recipe {request.recipe!r}, and brings {recipe.name!r}")
    return recipe
