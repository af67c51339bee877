"""Inspect frames: take batches of frames, and return their verdicts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.inference import metrics
from services.inference.image_store import ImageStore, Missing, image_key
from services.inference.live_images import LiveImages
from services.inference.model import Model, error_judgement
from services.inference.production import NoModel
from shared.engines.port import Images, Logits
from shared.imaging.codec import CONTENT_TYPES, UnreadableImage, decode
from shared.imaging.references import NotAligned
from shared.messages import (
    CheckFrameInspected,
    FrameCaptured,
    FrameDeferred,
    FrameInspected,
    ImageDeferred,
    Message,
    Verdict,
)
from shared.messaging import traces
from shared.messaging.loop import Reject
from shared.messaging.traces import BatchTrace
from shared.recipe import Recipe
from shared.verdict import Judgement


class ModelSource(Protocol):
    """The models of the recipes that frames name; see `services.inference.models.Models`."""

    def of(self, recipe: str | None) -> Model | NoModel:
        """Return the model of a recipe for the next batch; None: of the recipe for frames that name none."""
        ...

    def take_retired(self) -> Sequence[Model]:
        """Return the models that no later batch gets."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A batch whose images are fetched and prepared."""

    frames: Sequence[FrameCaptured]
    """The frames whose image was fetched or is gone for good."""
    contents: Sequence[bytes | Missing]
    """The files of their images."""
    failures: Sequence[Judgement | None]
    """The verdict *error* of each of these frames whose recipe has no model, or whose image is gone, can't be decoded,
    or fits no reference."""
    images: Images
    """The other images, in their order."""
    deferred: Sequence[FrameCaptured]
    """The frames whose image, or the model of whose recipe, can't be fetched at present."""


class Inspector:
    """Inspects batches of frames, all frames of a recipe with one model.

    Three threads share the work, so that the network does not wait: while it runs on one batch, the images of the next
    batch are prepared, and the images and verdicts of the batch before are stored and written.
    """

    def __init__(
        self,
        models: ModelSource,
        images: ImageStore,
        live: LiveImages,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Get the models of each batch from ``models``; store images in ``images``, and live images in ``live``."""
        self._models = models
        self._images = images
        self._live = live
        self._clock = clock
        self._decoding = ThreadPoolExecutor(os.cpu_count(), "decode")
        self._preparing = ThreadPoolExecutor(1, "prepare")
        self._running = ThreadPoolExecutor(1, "network")
        self._answering = ThreadPoolExecutor(1, "answer")

    def inspect(self, messages: Sequence[Message]) -> Future[Sequence[Message]]:
        """Begin to inspect frames; the batches are answered in their order.

        Returns:
            A future with the answers, recipe by recipe: a verdict for each frame whose image was fetched or is gone for
            good, in the order of the frames; then an `ImageDeferred` for each image that could not be stored; then a
            `FrameDeferred` for each frame whose image or model can't be fetched at present. The deferred wait in a
            queue of their own and hold up no other frame. A frame whose recipe has no model gets the verdict *error*,
            among the frames that name no recipe.

        Raises:
            Reject: a message is not a frame.
        """
        frames = []
        for message in messages:
            if not isinstance(message, FrameCaptured):
                raise Reject(f"a {type(message).__name__} is not a frame: it was sent to the wrong queue")
            frames.append(message)
        metrics.BATCH.observe(len(frames))
        recipes = dict.fromkeys([None, *(frame.frame.recipe for frame in frames)])
        models = {recipe: self._models.of(recipe) for recipe in recipes}
        usual = models[None]
        assert isinstance(usual, Model)  # noqa: S101  no batch is received before the first model
        missing = {recipe: model for recipe, model in models.items() if isinstance(model, NoModel)}
        groups: dict[str, tuple[Model, list[FrameCaptured]]] = {}
        for frame in frames:
            found = models[frame.frame.recipe]
            model = usual if isinstance(found, NoModel) else found
            groups.setdefault(model.recipe.name, (model, []))[1].append(frame)
        answers = [self._inspect(model, group, missing) for model, group in groups.values()]
        for model in self._models.take_retired():
            self._running.submit(model.unload)  # after the batches that it inspects
        if len(answers) == 1:
            return answers[0]
        return self._answering.submit(lambda: [message for answer in answers for message in answer.result()])

    def _inspect(
        self, model: Model, frames: Sequence[FrameCaptured], missing: Mapping[str | None, NoModel]
    ) -> Future[Sequence[Message]]:
        """Begin to inspect frames with a model."""
        trace = traces.current()
        prepared = self._preparing.submit(self._prepare, frames, model, missing, trace)

        def run() -> Logits:
            images = prepared.result().images
            with metrics.STEP_SECONDS.labels("judge").time(), trace.step("infer"):
                return model.run(images)

        logits = self._running.submit(run)
        return self._answering.submit(lambda: self._answer(model, prepared.result(), logits.result(), trace))

    def _prepare(
        self,
        frames: Sequence[FrameCaptured],
        model: Model,
        missing: Mapping[str | None, NoModel],
        trace: BatchTrace,
    ) -> Prepared:
        """Fetch, decode and prepare the images of a batch."""
        with metrics.STEP_SECONDS.labels("fetch").time(), trace.step("fetch"):
            contents = self._images.fetch(frames)
        refusals = [missing.get(frame.frame.recipe) for frame in frames]
        delayed = [
            not frame.of_check
            and ((isinstance(content, Missing) and content.temporary) or (refusal is not None and refusal.temporary))
            for frame, content, refusal in zip(frames, contents, refusals, strict=True)
        ]
        with metrics.STEP_SECONDS.labels("prepare").time(), trace.step("decode"):
            available = [content for content, waits in zip(contents, delayed, strict=True) if not waits]
            present = [frame for frame, waits in zip(frames, delayed, strict=True) if not waits]
            refused = [refusal for refusal, waits in zip(refusals, delayed, strict=True) if not waits]
            read = list(self._decoding.map(partial(_read, model), available, refused))
            images = [one for one in read if not isinstance(one, Judgement)]
            return Prepared(
                frames=present,
                contents=available,
                failures=[one if isinstance(one, Judgement) else None for one in read],
                images=np.stack(images) if images else np.zeros((0, *model.recipe.image.shape), np.float32),
                deferred=[frame for frame, waits in zip(frames, delayed, strict=True) if waits],
            )

    def _answer(self, model: Model, prepared: Prepared, logits: Logits, trace: BatchTrace) -> list[Message]:
        """Store the images that have to be stored, and return the messages that follow from a batch."""
        judgements = iter(model.judge(logits))
        judged = [
            (frame, failure or next(judgements))
            for frame, failure in zip(prepared.frames, prepared.failures, strict=True)
        ]
        for frame, judgement in reversed(judged):
            if not frame.of_check:
                self._live.show(frame, judgement)
        with metrics.STEP_SECONDS.labels("store").time(), trace.step("store"):
            not_stored = self._images.store(
                {
                    image_key(frame, judgement): content
                    for (frame, judgement), content in zip(judged, prepared.contents, strict=True)
                    if isinstance(content, bytes) and _should_store(frame, judgement, model.recipe)
                }
            )
        verdicts, images, deferred = list[FrameInspected](), list[ImageDeferred](), list(prepared.deferred)
        for frame, judgement in judged:
            key = image_key(frame, judgement)
            if key in not_stored and frame.image_key:
                deferred.append(frame)  # its image does not fit into a message: inspect it again later
                continue
            verdicts.append(self._verdict(frame, judgement, model, image_waits=key in not_stored))
            if key in not_stored:
                images.append(
                    ImageDeferred(
                        frame=frame.frame,
                        key=key,
                        content_type=CONTENT_TYPES[frame.encoding],
                        image=frame.image,
                        verdict=verdicts[-1] if verdicts[-1].flagged else None,
                    )
                )
        return [*verdicts, *images, *(FrameDeferred.model_validate(frame.model_dump()) for frame in deferred)]

    def _verdict(
        self, frame: FrameCaptured, judgement: Judgement, model: Model, *, image_waits: bool
    ) -> FrameInspected:
        now = self._clock()
        latency = max(0.0, (now - frame.frame.captured_at).total_seconds())
        if not frame.of_check:
            metrics.FRAMES.labels(frame.frame.line, judgement.verdict).inc()
            metrics.LATENCY_SECONDS.observe(latency)
        stored = _should_store(frame, judgement, model.recipe)
        kind = CheckFrameInspected if frame.of_check else FrameInspected
        return kind(
            frame=frame.frame,
            verdict=judgement.verdict,
            reason=judgement.reason,
            findings=judgement.findings,
            flagged=judgement.flagged,
            recipe=model.recipe.name,
            model_version=model.version,
            at=now,
            latency_ms=latency * 1000,
            image_key=image_key(frame, judgement) if stored else frame.image_key,
            image_waits=image_waits,
        )


def _read(model: Model, content: bytes | Missing, refusal: NoModel | None) -> NDArray[np.float32] | Judgement:
    """Return an image prepared for the network, or the verdict *error*."""
    if refusal:
        return error_judgement(refusal.reason)
    if isinstance(content, Missing):
        return error_judgement(f"its image is gone: {content.reason}")
    try:
        return model.prepare(decode(content))
    except UnreadableImage as error:
        return error_judgement(f"not an image: {error}")
    except NotAligned as error:
        return error_judgement(f"not compared with a reference image: {error}")


def _should_store(frame: FrameCaptured, judgement: Judgement, recipe: Recipe) -> bool:
    """Return whether to store the image of a frame: of flagged frames, and of every nth ok one; of none of a check.

    A large image is stored already as its camera captured it, but its kind is not known there.
    """
    if frame.of_check:
        return False
    nth = recipe.stored_images.every_nth_ok
    return judgement.flagged or (nth > 0 and judgement.verdict is Verdict.OK and frame.frame.sequence % nth == 0)
