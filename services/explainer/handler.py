"""Flagged frames in, explanations out."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from services.explainer import metrics
from services.explainer.image_store import Gallery, Unexplained
from services.explainer.models import Model, Models
from services.explainer.overlay import overlay
from shared.contracts.bundle import BundleError
from shared.explain.heat import Heat, heat_of
from shared.explain.targets import Question, questions_about
from shared.imaging.codec import CONTENT_TYPES, Image, encode
from shared.imaging.preprocessing import prepare
from shared.messages import ExplanationRequested, FrameExplained, FrameInspected, Heatmap, Message
from shared.messaging.loop import Reject, RetryLater
from shared.recipe import Recipe, RecipeError
from shared.storage.port import InvalidKey, ObjectNotFound, StorageError


@dataclass
class Case:
    """A frame on its way from its image to its heatmaps."""

    frame: FrameInspected
    image: Image | None = None
    reason: str = ""
    """Why there is no image, or nothing to say about it."""
    answers: list[tuple[Question, Heat]] = field(default_factory=list)
    method: str = ""
    """How they were found."""


class Explainer:
    """Explains batches of frames: those that were flagged, and those that people ask about.

    Two loops may call it; the models are asked by one at a time.
    """

    def __init__(
        self, models: Models, gallery: Gallery, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._models = models
        self._gallery = gallery
        self._clock = clock
        self._asking = threading.Lock()

    def explain(self, messages: Sequence[Message]) -> list[Message]:
        """Explain frames.

        Returns:
            For each frame, in their order, where its heatmaps are, or why there are none.

        Raises:
            RetryLater: object storage is away, or an image may still arrive there.
            Reject: a message is no verdict on a frame.
        """
        frames = [_as_inspected(message) for message in messages]
        metrics.BATCH.observe(len(frames))
        with metrics.STEP_SECONDS.labels("fetch").time():
            cases = [_open(*entry) for entry in zip(frames, self._gallery.images(frames), strict=True)]
        with self._asking, metrics.STEP_SECONDS.labels("explain").time():
            for (recipe, version), of_model in _by_model(cases).items():
                self._answer(of_model, recipe, version)
        with metrics.STEP_SECONDS.labels("keep").time():
            return list(self._gallery.at_once(self._close, cases))

    def _answer(self, cases: Sequence[Case], recipe: str, version: str) -> None:
        """Ask the model that judged these frames about all of them at once."""
        try:
            model = self._models.get(recipe, version)
        except ObjectNotFound:
            _give_up(cases, f"model {version}, which judged it, is gone")
        except (BundleError, RecipeError, InvalidKey) as error:
            _give_up(cases, f"model {version}, which judged it, can't be used: {error}")
        except StorageError as error:
            raise RetryLater(str(error)) from error
        else:
            _ask(model, [(case, case.image) for case in cases if case.image is not None])

    def _close(self, case: Case) -> FrameExplained:
        """Keep what was found, and tell of it."""
        folder = case.frame.frame.storage_key
        heatmaps = {question.label.name: self._keep(folder, question, heat) for question, heat in case.answers}
        metrics.FRAMES.labels(case.frame.frame.line, "explained" if heatmaps else "unexplained").inc()
        return FrameExplained(
            frame=case.frame.frame,
            model_version=case.frame.model_version,
            method=case.method,
            heatmaps=heatmaps,
            overlay_key=self._keep_overlay(folder, case) if heatmaps else None,
            reason="" if heatmaps else case.reason or "none of its findings is a label of the recipe",
            flagged=case.frame.flagged,
            explained_at=self._clock(),
        )

    def _keep(self, folder: str, question: Question, heat: Heat) -> Heatmap:
        key = f"{folder}/heatmap.{question.label.name}.png"
        self._gallery.put(key, encode(heat.pixels, "png"), CONTENT_TYPES["png"])
        return Heatmap(key=key, towards=question.towards, peak=heat.peak, box=heat.box)

    def _keep_overlay(self, folder: str, case: Case) -> str | None:
        if case.image is None:
            return None
        key = f"{folder}/overlay.jpg"
        coloured = overlay(case.image, [(heat.pixels, question.label.colour) for question, heat in case.answers])
        self._gallery.put(key, encode(coloured, "jpeg"), CONTENT_TYPES["jpeg"])
        return key


def _as_inspected(message: Message) -> FrameInspected:
    if not isinstance(message, FrameInspected):
        raise Reject(f"a {type(message).__name__} is no verdict on a frame: it was sent to the wrong queue")
    return message


def _open(frame: FrameInspected, image: Image | Unexplained) -> Case:
    if isinstance(image, Unexplained):
        return Case(frame, reason=image.reason)
    return Case(frame, image)


def _by_model(cases: Sequence[Case]) -> dict[tuple[str, str], list[Case]]:
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.frame.recipe, case.frame.model_version].append(case)
    return groups


def _give_up(cases: Sequence[Case], reason: str) -> None:
    for case in cases:
        case.reason = case.reason or reason


def _questions(frame: FrameInspected, recipe: Recipe) -> list[Question]:
    wanted = frame.labels if isinstance(frame, ExplanationRequested) else ()
    return questions_about(frame.findings, recipe, wanted)


def _ask(model: Model, cases: Sequence[tuple[Case, Image]]) -> None:
    """One run of the network over all images, then one of its head over all questions about them."""
    questions = [_questions(case.frame, model.recipe) for case, _ in cases]
    asked = [(row, question) for row, of_frame in enumerate(questions) for question in of_frame]
    if not asked:
        return
    images = np.stack([prepare(image, model.recipe.image) for _, image in cases])
    maps = model.probe.maps(images, [(row, question.output, question.towards) for row, question in asked])
    for (row, question), map_ in zip(asked, maps, strict=True):
        case, image = cases[row]
        case.method = model.recipe.explanation.method
        case.answers.append((question, heat_of(map_, *image.shape[:2])))
