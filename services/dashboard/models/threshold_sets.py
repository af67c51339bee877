"""Threshold sets: compute their effect from the scores that a model stores, and request them from the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from ulid import ULID

from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.models.dataset_images import DatasetImages
from services.dashboard.models.names import VersionNames
from services.dashboard.models.repository import ModelRepository
from services.dashboard.models.schemas import ThresholdSetList, ThresholdSetRequest, ThresholdSetView
from services.dashboard.models.service import ModelsService
from services.dashboard.models.threshold_effects import Effect, effect_of, unknown_effect
from services.dashboard.models.yesterday import YesterdayEffect, YesterdayFrames
from services.dashboard.web.paging import ALL, Paging, newest
from services.dashboard.web.problems import Problem
from shared.contracts import bundle
from shared.contracts.scores import ScoredImages, parse_scores
from shared.language import gettext
from shared.messages import ThresholdsRequested
from shared.recipe import Recipe, Task
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.verdict import has_verdicts


class ThresholdSetsService:
    """Answers about threshold sets, and requests of them."""

    def __init__(
        self,
        store: ObjectStore,
        repository: ModelRepository,
        models: ModelsService,
        names: VersionNames,
        commands: CommandPublisher,
        *,
        images: DatasetImages,
        frames: YesterdayFrames,
    ) -> None:
        self._store = store
        self._repository = repository
        self._models = models
        self._names = names
        self._images = images
        self._frames = frames
        self._commands = commands
        # bundles never change; a missing one raises, which is not cached
        self._scores = lru_cache(maxsize=8)(self._read_scores)

    def effect(self, recipe: str, version: str, thresholds: Mapping[str, float]) -> Effect:
        """Return the effect of other thresholds of a model.

        Raises:
            Problem: 404: no such model; 409: it makes no part NG; 422: it has no such label.
        """
        found = self.recipe(recipe, version)
        _check(found, thresholds)
        scored = self._scores(recipe, version)
        if scored and scored.labels == found.label_names:
            return effect_of(found, scored.splits["valid"], thresholds)
        return unknown_effect(found, thresholds)

    def yesterday(self, recipe: str, version: str, thresholds: Mapping[str, float]) -> YesterdayEffect:
        """Return the effect of other thresholds on yesterday's frames; raises as `effect`."""
        found = self.recipe(recipe, version)
        _check(found, thresholds)
        return self._frames.effect(found, version, thresholds)

    def has_images(self, recipe: str, version: str) -> bool:
        """Return whether the scored images are in storage."""
        return self._images.has(self._models.get(recipe, version).dataset)

    def image(self, recipe: str, version: str, place: int) -> bytes:
        """Return a scored image, small, by its number.

        Raises:
            Problem: 404: there is no such image, or it is not in storage.
        """
        scored = self._scores(recipe, version)
        names = scored.splits["valid"].names if scored else ()
        if place >= len(names):
            raise Problem(404, gettext("this model has %(images)s scored images", images=len(names)))
        return self._images.thumbnail(self._models.get(recipe, version).dataset, names[place])

    def recipe(self, recipe: str, version: str) -> Recipe:
        """Return the recipe of a model.

        Raises:
            Problem: 404: no such model; 409: it makes no part NG.
        """
        found = self._models.recipe(recipe, version)
        if not has_thresholds(found):
            raise Problem(
                409, gettext("the label with the highest score wins, and none makes a part NG: there is no threshold")
            )
        return found

    def request(self, recipe: str, version: str, request: ThresholdSetRequest, by: str) -> ThresholdSetView:
        """Request a version with other thresholds.

        Raises:
            Problem: 404: no such model; 409: it makes no part NG; 422: no such label or operating point, or no change.
            StorageError: the name was not stored, and nothing was requested.
            MessagingError: the request was not published.
        """
        found = self.recipe(recipe, version)
        thresholds = request.thresholds
        if request.operating_point:
            points = self._models.operating_points(recipe, version)
            if points is None or request.operating_point not in points.points:
                raise Problem(
                    422,
                    gettext(
                        "operating_point: model %(version)s has no %(operating_point)s: give thresholds",
                        version=version,
                        operating_point=request.operating_point,
                    ),
                )
            thresholds = points.points[request.operating_point].thresholds
        _check(found, thresholds)
        changed = {name: value for name, value in thresholds.items() if value != found.label(name).threshold}
        if not changed:
            raise Problem(422, gettext("thresholds: the model has these thresholds already: change one"))
        message = ThresholdsRequested(
            thresholds_id=f"thresholds-{ULID()}",
            recipe=recipe,
            model_version=version,
            thresholds=changed,
            reason=request.reason,
            promote=request.promote,
            by=by,
            at=datetime.now(UTC),
        )
        if request.name:
            self._names.give(recipe, bundle.version_name(message.at, message.thresholds_id), request.name, by)
        self._commands.publish(message)
        return next(each for each in self._views(recipe) if each.thresholds_id == message.thresholds_id)

    def of_recipe(self, recipe: str, paging: Paging = ALL) -> ThresholdSetList:
        """Return the requested threshold sets of a recipe, newest first."""
        shown, more = paging.page(self._views(recipe), lambda view: newest(view.at, view.thresholds_id))
        return ThresholdSetList(threshold_sets=shown, next=more)

    def _views(self, recipe: str) -> list[ThresholdSetView]:
        return [ThresholdSetView.of(found) for found in self._repository.threshold_sets(recipe)]

    def _read_scores(self, recipe: str, version: str) -> ScoredImages | None:
        key = f"{bundle.folder_of(recipe, version)}/{bundle.SCORES}"
        try:
            return parse_scores(self._store.get(key), version)
        except (ObjectNotFound, bundle.BundleError):
            return None


def has_thresholds(recipe: Recipe) -> bool:
    """Return whether a recipe's thresholds have an effect: among exclusive labels, if some make a part NG."""
    return recipe.task is Task.MULTI_LABEL or has_verdicts(recipe)


def _check(recipe: Recipe, thresholds: Mapping[str, float]) -> None:
    for name, value in thresholds.items():
        if name not in recipe.label_names:
            raise Problem(
                422,
                gettext(
                    "thresholds: the recipe has no label %(name)r: %(recipe)s",
                    name=name,
                    recipe=", ".join(recipe.label_names),
                ),
            )
        if not 0 < value < 1:
            raise Problem(422, gettext("thresholds: %(name)s: a threshold lies between 0 and 1", name=name))
