"""Explain frames: take flagged frames and requests, and return explanations."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.explainer import metrics
from services.explainer.image_store import ImageStore, Unexplained
from services.explainer.models import Model, Models
from services.explainer.overlay import overlay
from shared.contracts.bundle import DISTANCE, DISTANCES, BundleError
from shared.explain.rendering import Heat, heat_of
from shared.explain.scale import rarity_of, shade_for
from shared.explain.targets import Question, questions_about
from shared.imaging.codec import CONTENT_TYPES, Image, encode
from shared.imaging.preprocessing import prepare
from shared.imaging.references import NotAligned
from shared.messages import ExplanationRequested, FrameExplained, FrameInspected, Heatmap, Message
from shared.messaging import traces
from shared.messaging.loop import Reject, RetryLater
from shared.recipe import RecipeError
from shared.storage.port import InvalidKey, ObjectNotFound, StorageError


@dataclass
class Case:
    """A frame to explain, and its explanation as far as it is computed."""

    frame: FrameInspected
    labels: tuple[str, ...] = ()
    """The labels for which a person requested heatmaps; empty: the explainer chooses the labels."""
    image: Image | None = None
    reason: str = ""
    """Why the frame has no heatmaps; empty when it has some."""
    heatmaps: list[tuple[Question, Heat, float | None]] = field(default_factory=list)
    """The heatmaps, each with its rarity: the share (0 to 1) of good images that have as much evidence.

    The rarity is None if the model has no scale for the label.
    """
    method: str = ""
    """The method by which the heatmaps were computed."""

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return the case of a flagged frame, or of a request for heatmaps.

        Raises:
            Reject: the message is neither.
        """
        match message:
            case FrameInspected():
                return cls(message)
            case ExplanationRequested():
                return cls(message.verdict, message.labels)
        raise Reject(f"a {type(message).__name__} is not a verdict on a frame: it was sent to the wrong queue")


class Explainer:
    """Explain batches of frames: flagged frames, and frames whose explanation a user requested.

    The loops of flagged frames and of requests may call it at the same time; a lock protects the models.
    """

    def __init__(
        self, models: Models, images: ImageStore, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._models = models
        self._images = images
        self._clock = clock
        self._models_lock = threading.Lock()

    def explain(self, messages: Sequence[Message]) -> list[Message]:
        """Explain frames.

        Returns:
            An explanation for each frame, in the order of the frames: the keys of its heatmaps, or why it has none.

        Raises:
            RetryLater: object storage is unavailable, or an image may still arrive there.
            Reject: a message is neither a verdict on a frame nor a request for heatmaps.
        """
        cases = [Case.of(message) for message in messages]
        metrics.BATCH.observe(len(cases))
        trace = traces.current()
        with metrics.STEP_SECONDS.labels("fetch").time(), trace.step("fetch"):
            images = self._images.fetch([case.frame for case in cases])
        cases_by_model: dict[tuple[str, str], list[Case]] = defaultdict(list)
        for case, found in zip(cases, images, strict=True):
            if isinstance(found, Unexplained):
                case.reason = found.reason
            else:
                case.image = found
            cases_by_model[case.frame.recipe, case.frame.model_version].append(case)
        with self._models_lock, metrics.STEP_SECONDS.labels("explain").time(), trace.step("heatmap"):
            for (recipe, version), model_cases in cases_by_model.items():
                self._explain_with(model_cases, recipe, version)
        with metrics.STEP_SECONDS.labels("store").time(), trace.step("store"):
            return list(self._images.in_parallel(self._store, cases))

    def _explain_with(self, cases: Sequence[Case], recipe: str, version: str) -> None:
        """Compute the heatmaps of all frames that one model inspected."""
        try:
            model = self._models.get(recipe, version)
        except ObjectNotFound:
            reason = f"model {version}, which judged it, is gone"
        except (BundleError, RecipeError, InvalidKey) as error:
            reason = f"model {version}, which judged it, can't be used: {error}"
        except StorageError as error:
            raise RetryLater(str(error)) from error
        else:
            compute_heatmaps(model, cases)
            return
        for case in cases:
            case.reason = case.reason or reason

    def _store(self, case: Case) -> FrameExplained:
        """Store the heatmaps and the overlay of a frame, and describe them in a message."""
        folder = case.frame.frame.storage_key
        stored: dict[str, Heatmap] = {}
        overlay_key = None
        if case.heatmaps and case.image is not None:
            for question, heat, rarity in case.heatmaps:
                key = f"{folder}/heatmap.{question.label.slug}.png"
                self._images.put(key, encode(heat.pixels, "png"), CONTENT_TYPES["png"])
                peak, box = heat.stretched(*case.image.shape[:2])
                stored[question.label.name] = Heatmap(
                    key=key, for_label=question.for_label, peak=peak, box=box, rarity=rarity
                )
            overlay_key = f"{folder}/overlay.jpg"
            layers = [(heat.pixels, question.label.colour) for question, heat, _ in case.heatmaps]
            self._images.put(overlay_key, encode(overlay(case.image, layers), "jpeg"), CONTENT_TYPES["jpeg"])
        metrics.FRAMES.labels(case.frame.frame.line, "explained" if stored else "unexplained").inc()
        return FrameExplained(
            frame=case.frame.frame,
            model_version=case.frame.model_version,
            method=case.method,
            heatmaps=stored,
            overlay_key=overlay_key,
            reason="" if stored else case.reason or "none of its findings is a label of the recipe",
            flagged=case.frame.flagged,
            at=self._clock(),
        )


def compute_heatmaps(model: Model, cases: Sequence[Case]) -> None:
    """Compute the heatmaps of all cases, and add them to the cases.

    The network runs once for all images. A heatmap has the size of the network's input, or of a smaller image.
    """
    images: list[Image] = []
    prepared: list[NDArray[np.float32]] = []
    asked: list[tuple[Case, int, Question]] = []
    for case in cases:
        if case.image is None:
            continue
        try:
            prepared.append(prepare(case.image, model.recipe.image, model.references))
        except NotAligned as error:
            case.reason = f"not compared with a reference image: {error}"
            continue
        questions = questions_about(case.frame.findings, model.recipe, case.labels)
        asked += [(case, len(images), question) for question in questions]
        images.append(case.image)
    if not asked:
        return
    spec = model.recipe.image
    maps = model.probe.maps(
        np.stack(prepared), [(row, question.output, question.for_label) for _, row, question in asked]
    )
    for (case, row, question), map_ in zip(asked, maps, strict=True):
        shade = shade_for(model.heatmaps, question, case.frame.findings[question.label.name].score)
        # the network saw no finer detail than its input has; without a scale, the peak of the heatmap has full heat
        height, width = min(spec.height, images[row].shape[0]), min(spec.width, images[row].shape[1])
        heat = heat_of(map_, height, width, 1.0 if shade is None else shade)
        is_anomaly = question.label is model.recipe.anomaly
        method = f"{DISTANCE} at {DISTANCES}" if is_anomaly else model.heatmaps.in_words
        if method not in case.method:
            case.method = f"{case.method}; {method}" if case.method else method
        case.heatmaps.append((question, heat, None if shade is None else rarity_of(shade)))
