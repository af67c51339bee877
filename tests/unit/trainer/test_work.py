"""A training that was asked for by message, in the trainer's child process."""

from services.trainer.trainings import Source
from services.trainer.work import recipe_of
from shared.recipe import parse_recipe
from shared.storage.filesystem import FilesystemStore
from tests.models import paint_bundle, paint_recipe, promote
from tests.unit.trainer.requests import training


def test_a_training_goes_on_by_the_recipe_that_it_began_with(store: FilesystemStore) -> None:
    """Whoever moves the recipe of production meanwhile does not move that of a training under way."""
    request = training(recipe="paint", recipe_yaml=None)
    promote(store, paint_bundle("v1", recipe=paint_recipe()))
    began = recipe_of(request, None, store)
    source = Source(reference="paint@0001-0123abcd", recipe_yaml=began.to_yaml())
    promote(store, paint_bundle("v2", recipe=paint_recipe("costs: {escape: 7, overkill: 1}")))
    assert recipe_of(request, None, store).to_yaml() != began.to_yaml()
    assert recipe_of(request, source, store).to_yaml() == began.to_yaml() == parse_recipe(began.to_yaml()).to_yaml()
