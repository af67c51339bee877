"""Do a requested training in the trainer's child process."""

from pathlib import Path

import pytest

from services.trainer.jobs.child import Failed
from services.trainer.jobs.trainings import Trainings
from services.trainer.settings import TrainerSettings
from services.trainer.training.child_process import recipe_of, train
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.recipe import parse_recipe
from shared.storage.filesystem import FilesystemStore
from tests.models import paint_bundle, paint_recipe, promote
from tests.strokes import draw_strokes
from tests.unit.trainer.requests import training


def test_a_training_continues_with_the_recipe_that_it_began_with(store: FilesystemStore) -> None:
    """A promotion changes the recipe in production, and not that of a training that has begun."""
    request = training(recipe="paint", recipe_yaml=None)
    promote(store, paint_bundle("v1", recipe=paint_recipe()))
    began = recipe_of(request, store)
    begun = request.model_copy(update={"recipe_yaml": began.to_yaml()})
    promote(store, paint_bundle("v2", recipe=paint_recipe("costs: {escape: 7, overkill: 1}")))
    assert recipe_of(request, store).to_yaml() != began.to_yaml()
    assert recipe_of(begun, store).to_yaml() == began.to_yaml() == parse_recipe(began.to_yaml()).to_yaml()


def test_a_training_whose_trainer_cannot_write_says_so(
    store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not end three times without a reason."""
    occupied = tmp_path / "occupied"
    occupied.touch()
    monkeypatch.setenv("TRAINER_STORAGE_URL", f"file:///{tmp_path}/objects")
    import_dataset(read_dataset(draw_strokes(tmp_path / "strokes", 12)), store, "strokes", by="ada", source="a test")
    settings = TrainerSettings(work_folder=occupied)
    assert Trainings(store, settings.name, settings.lease_seconds).add(training())
    result = train("training-1", settings.work_folder / "training-1", settings)
    assert isinstance(result, Failed)
    assert result.reason.startswith("the trainer's own disk: ")
    assert str(occupied) in result.reason
