"""A requested training, in the trainer's child process."""

from pathlib import Path

import pytest

from services.trainer.jobs.child import Failed
from services.trainer.jobs.trainings import Trainings
from services.trainer.settings import TrainerSettings
from services.trainer.training.child_process import last_word, recipe_of
from shared.recipe import parse_recipe
from shared.storage.filesystem import FilesystemStore
from tests.models import paint_bundle, paint_recipe, promote
from tests.strokes import draw_strokes
from tests.unit.trainer.requests import training


def test_a_training_goes_on_by_the_recipe_that_it_began_with(store: FilesystemStore) -> None:
    """Whoever moves the recipe of production meanwhile does not move that of a training under way."""
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
    """And does not die three times without a word."""
    occupied = tmp_path / "occupied"
    occupied.touch()
    monkeypatch.setenv("TRAINER_STORAGE_URL", f"file:///{tmp_path}/objects")
    put_folder(store, draw_strokes(tmp_path / "strokes", 12), "datasets/strokes")
    settings = TrainerSettings(work_folder=occupied)
    assert Trainings(store, settings.name, settings.lease_seconds).add(training())
    told = last_word("training-1", settings.work_folder / "training-1", settings)
    assert isinstance(told, Failed)
    assert told.reason.startswith("the trainer's own disk: ")
    assert str(occupied) in told.reason


def put_folder(store: FilesystemStore, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*.*"):
        store.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
