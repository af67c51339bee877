"""Models: read from object storage, and promoted by requests to the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial

from pydantic import JsonValue, TypeAdapter, ValidationError
from ulid import ULID

from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.models.names import VersionNames
from services.dashboard.models.repository import ModelRepository
from services.dashboard.models.schemas import (
    HistoryView,
    LabelView,
    MeasuredHeatmaps,
    MeasuredModel,
    ModelList,
    ModelView,
    ProductionEntry,
    ProductionView,
    PromotionList,
    PromotionRequest,
    PromotionView,
    RollbackRequest,
)
from services.dashboard.web.paging import ALL, Paging, newest
from services.dashboard.web.problems import Problem
from shared.contracts import bundle
from shared.contracts.operating_points import OperatingPoints
from shared.contracts.promotion import history_of, production_history, production_version, version_before
from shared.language import ENGLISH, gettext
from shared.messages import PromotionRequested
from shared.recipe import Recipe, RecipeError, Task, parse_recipe
from shared.storage.port import ObjectNotFound, ObjectStore, StorageError
from shared.storage.records import read_or_skip


class ModelsService:
    """Answers about models, and requests of promotions."""

    def __init__(
        self, store: ObjectStore, repository: ModelRepository, names: VersionNames, commands: CommandPublisher
    ) -> None:
        self._store = store
        self._repository = repository
        self._names = names
        self._commands = commands
        # bundles never change; a missing one raises, which is not cached: it may appear later
        self._model = lru_cache(maxsize=500)(self._read_model)
        self._recipe = lru_cache(maxsize=500)(self._read_recipe)
        self._evaluation = lru_cache(maxsize=500)(self._read_evaluation)

    def newest(self, recipe: str | None, paging: Paging = ALL) -> ModelList:
        """Return the versions of a recipe, or of all recipes, newest first."""
        models: list[ModelView] = []
        for name in [recipe] if recipe else self.recipes():
            in_production = production_version(self._store, name)
            names = self._names.of(name)
            for version in bundle.versions(self._store, name):
                manifest = f"{bundle.folder_of(name, version)}/{bundle.MANIFEST}"
                if found := read_or_skip(manifest, partial(self._show, name, version, in_production, names)):
                    models.append(found)
        shown, more = paging.page(models, lambda model: newest(model.created_at, f"{model.recipe}/{model.version}"))
        return ModelList(models=shown, next=more)

    def get(self, recipe: str, version: str) -> ModelView:
        """Return one version.

        Raises:
            Problem: 404: there is no such version, or its bundle can't be read.
        """
        in_production = production_version(self._store, recipe)
        try:
            return self._show(recipe, version, in_production, self._names.of(recipe))
        except (ObjectNotFound, ValidationError) as error:
            why = gettext(
                "there is no version %(version)r of recipe %(recipe)r: GET /api/models lists them",
                version=version,
                recipe=recipe,
            )
            raise Problem(404, why) from error

    def rename(self, recipe: str, version: str, name: str, by: str) -> ModelView:
        """Give a version a name, or another one; an empty one removes its name.

        Raises:
            Problem: 404: there is no such version, or its bundle can't be read.
            StorageError: the name was not stored.
        """
        model = self.get(recipe, version)
        self._names.give(recipe, version, name, by)
        return model.model_copy(update={"name": name})

    def recipes(self) -> list[str]:
        """Return the recipes that have models."""
        return sorted({key.split("/")[1] for key in self._store.keys("models/") if key.count("/") > 1})

    def labels(self, recipe: str, version: str) -> list[LabelView]:
        """Return the labels of a model; none if its bundle can't be read."""
        try:
            labels = self._recipe(recipe, version).labels
            evaluation = self._evaluation_if_there(recipe, version) or {}
        except (ObjectNotFound, RecipeError):
            return []
        measured: dict[str, MeasuredHeatmaps] = {}
        with suppress(ValidationError):
            measured = MeasuredModel.model_validate(evaluation.get("heatmaps") or {}).labels
        views = []
        for label in labels:
            heatmaps = measured.get(label.name, MeasuredHeatmaps())
            views.append(
                LabelView(
                    **label.model_dump(include={"name", "role", "threshold", "expected"}),
                    colour="#" + bytes(label.colour).hex(),
                    trustworthy=heatmaps.trustworthy,
                    measured_for_label=heatmaps.for_label,
                    heatmap_problem=heatmaps.reason,
                )
            )
        return views

    def operating_points(self, recipe: str, version: str) -> OperatingPoints | None:
        """Return the operating points of a model; None if its evaluation has none."""
        found = (self._evaluation_if_there(recipe, version) or {}).get("operating_points")
        with suppress(ValidationError):
            return OperatingPoints.model_validate(found)
        return None

    def recipe(self, recipe: str, version: str) -> Recipe:
        """Return the recipe of a model.

        Raises:
            Problem: 404: there is no such model, or its recipe can't be read.
        """
        try:
            return self._recipe(recipe, version)
        except (ObjectNotFound, RecipeError) as error:
            raise Problem(
                404,
                gettext(
                    "there is no version %(version)r of recipe %(recipe)r, or it is damaged",
                    version=version,
                    recipe=recipe,
                ),
            ) from error

    def file(self, recipe: str, version: str, name: str) -> bytes:
        """Return a file of a bundle.

        Raises:
            Problem: 404: there is no file of that name.
        """
        try:
            return self._store.get(f"{bundle.folder_of(recipe, version)}/{name}")
        except ObjectNotFound as error:
            raise Problem(
                404,
                gettext(
                    "version %(version)r of recipe %(recipe)r has no %(name)s",
                    version=version,
                    recipe=recipe,
                    name=name,
                ),
            ) from error

    def curves(self, recipe: str, version: str) -> list[dict[str, float]]:
        """Return the metrics of each epoch of a model's training; empty if the bundle has none."""
        try:
            return TypeAdapter(list[dict[str, float]]).validate_json(self.file(recipe, version, bundle.HISTORY))
        except (Problem, ValidationError):
            return []

    def trust(self, recipe: str, version: str) -> dict[tuple[str, bool], bool | None]:
        """Return whether the heatmaps of each label can be trusted, in the direction that was measured.

        The result is empty while storage is away.
        """
        try:
            return {
                (label.name, label.measured_for_label): label.trustworthy
                for label in self.labels(recipe, version)
                if label.measured_for_label is not None
            }
        except StorageError:
            return {}

    def production(self, recipe: str) -> ProductionView:
        """Return the version in production.

        Raises:
            Problem: 404: there are no models of that recipe.
        """
        if not bundle.versions(self._store, recipe):
            raise Problem(404, gettext("there are no models of a recipe %(recipe)r", recipe=recipe))
        history = production_history(self._store, recipe)
        entries = [ProductionEntry(**pointer.model_dump(exclude={"recipe"})) for pointer in reversed(history)]
        return ProductionView(recipe=recipe, version=entries[0].version if entries else None, history=entries)

    def before(self, recipe: str) -> str | None:
        """Return the version that a rollback leads to; None if there is none."""
        return version_before(production_history(self._store, recipe))

    def has_report(self, recipe: str, version: str) -> bool:
        """Return whether the bundle of a model has a report."""
        return self._store.exists(f"{bundle.folder_of(recipe, version)}/{bundle.REPORTS[ENGLISH]}")

    def promote(self, recipe: str, version: str, request: PromotionRequest, by: str) -> PromotionView:
        """Request the promotion of a version.

        Raises:
            Problem: 404: no such version; 422: forced without a reason.
            MessagingError: the request was not published.
        """
        if version not in bundle.versions(self._store, recipe):
            raise Problem(
                404,
                gettext(
                    "there is no version %(version)r of recipe %(recipe)r: GET /api/models lists them",
                    version=version,
                    recipe=recipe,
                ),
            )
        if request.force and not request.reason:
            raise Problem(422, gettext("reason: give the reason for overruling the gate"))
        message = PromotionRequested(
            promotion_id=f"promotion-{ULID()}",
            recipe=recipe,
            model_version=version,
            reason=request.reason,
            force=request.force,
            by=by,
            at=datetime.now(UTC),
        )
        return self._publish(message)

    def roll_back(self, recipe: str, request: RollbackRequest, by: str) -> PromotionView:
        """Request a rollback to the version that was in production before.

        Raises:
            Problem: 409: there is none.
            MessagingError: the request was not published.
        """
        before = self.before(recipe)
        if before is None:
            raise Problem(
                409,
                gettext("no other model of recipe %(recipe)r was in production before: GET its history", recipe=recipe),
            )
        message = PromotionRequested(
            promotion_id=f"rollback-{ULID()}",
            recipe=recipe,
            model_version=before,
            reason=request.reason,
            rollback=True,
            by=by,
            at=datetime.now(UTC),
        )
        return self._publish(message)

    def history(self, recipe: str, paging: Paging = ALL) -> HistoryView:
        """Return every promotion, rollback and refusal of a recipe, newest first."""
        entries = history_of(self._store, recipe)
        shown, more = paging.page(entries, lambda entry: newest(entry.at, f"{entry.version}/{entry.outcome}"))
        return HistoryView(recipe=recipe, history=shown, next=more)

    def promotion(self, recipe: str, promotion_id: str) -> PromotionView | None:
        """Return one promotion; None if there is no message about it."""
        return next((each for each in self.promotions(recipe).promotions if each.promotion_id == promotion_id), None)

    def _publish(self, message: PromotionRequested) -> PromotionView:
        self._commands.publish(message)
        return next(
            each for each in self.promotions(message.recipe).promotions if each.promotion_id == message.promotion_id
        )

    def promotions(self, recipe: str, paging: Paging = ALL) -> PromotionList:
        """Return the promotions of a recipe, newest first."""
        views = [PromotionView.of(promotion) for promotion in self._repository.promotions(recipe)]
        shown, more = paging.page(views, lambda view: newest(view.at, view.promotion_id))
        return PromotionList(promotions=shown, next=more)

    def _show(self, recipe: str, version: str, in_production: str | None, names: Mapping[str, str]) -> ModelView:
        changes = {
            "name": names.get(version, ""),
            "in_production": version == in_production,
            "differs_from_promoted": self._differs_from_promoted(recipe, version),
            "task": self.task(recipe, version),
            "labels": self.labels(recipe, version),
            "evaluation": self._evaluation_if_there(recipe, version),
        }
        return self._model(recipe, version).model_copy(update=changes)

    def task(self, recipe: str, version: str) -> Task:
        """Return how the labels relate; multi-label if the recipe can't be read."""
        try:
            return self._recipe(recipe, version).task
        except (ObjectNotFound, RecipeError):
            return Task.MULTI_LABEL

    def _differs_from_promoted(self, recipe: str, version: str) -> bool:
        """Return whether a bundle has changed since its promotion, by the digest in the trainer's message."""
        promotions = (each.promoted for each in self._repository.promotions(recipe))
        digests = {promoted.digest for promoted in promotions if promoted and promoted.model_version == version} - {""}
        return bool(digests) and digests != {bundle.digest_of(self._store, recipe, version)}

    def _read_model(self, recipe: str, version: str) -> ModelView:
        folder = bundle.folder_of(recipe, version)
        manifest = bundle.Manifest.model_validate_json(self._store.get(f"{folder}/{bundle.MANIFEST}"))
        shown = {"recipe", "version", "architecture", "created_at", "dataset", "options"}
        origin = {"derived_from", "author", "reason"}
        return ModelView(**manifest.model_dump(include=shown | origin), in_production=False, labels=[], evaluation=None)

    def _evaluation_if_there(self, recipe: str, version: str) -> dict[str, JsonValue] | None:
        """Return None for a missing evaluation, and read it again next time: storage may be copied in any order."""
        try:
            return self._evaluation(recipe, version)
        except (ObjectNotFound, ValueError):
            return None

    def _read_evaluation(self, recipe: str, version: str) -> dict[str, JsonValue]:
        content = self._store.get(f"{bundle.folder_of(recipe, version)}/{bundle.EVALUATION}")
        return TypeAdapter(dict[str, JsonValue]).validate_json(content)

    def _read_recipe(self, recipe: str, version: str) -> Recipe:
        content = self._store.get(f"{bundle.folder_of(recipe, version)}/{bundle.RECIPE}")
        return parse_recipe(content.decode(errors="replace"), source=f"recipe of model {version}")
