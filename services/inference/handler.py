"""Inspect frames: frames in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from services.inference import metrics
from services.inference.image_store import ImageStore, Missing, image_key
from services.inference.model import Model, Prepared, error_judgement
from shared.imaging.codec import CONTENT_TYPES, UnreadableImage, decode
from shared.imaging.preprocessing import prepare
from shared.messages import FrameCaptured, FrameDeferred, FrameInspected, ImageDeferred, Message, Verdict
from shared.messaging.loop import Reject
from shared.recipe import ImageSpec, Recipe
from shared.verdict import Judgement


class Inspector:
    """Inspect batches of frames, each batch with one model from beginning to end."""

    def __init__(
        self, model: Callable[[], Model], images: ImageStore, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Ask ``model`` for the model of each batch, and store images in ``images``."""
        self._model = model
        self._images = images
        self._clock = clock
        self._threads = ThreadPoolExecutor(thread_name_prefix="prepare")

    def inspect(self, messages: Sequence[Message]) -> list[Message]:
        """Inspect frames.

        Returns:
            A verdict for each frame whose image was fetched or is gone for good, in the order of the frames; then an
            `ImageDeferred` for each image that could not be stored; then a `FrameDeferred` for each frame whose image
            can't be fetched at present. The deferred wait in a queue of their own and hold up no other frame.

        Raises:
            Reject: a message is not a frame.
        """
        frames = [_as_frame(message) for message in messages]
        model = self._model()
        metrics.BATCH.observe(len(frames))
        with metrics.STEP_SECONDS.labels("fetch").time():
            contents = self._images.fetch(frames)
        delayed = [isinstance(content, Missing) and content.temporary for content in contents]
        deferred = [
            FrameDeferred.model_validate(frame.model_dump())
            for frame, waits in zip(frames, delayed, strict=True)
            if waits
        ]
        available = [
            (frame, content) for frame, content, waits in zip(frames, contents, delayed, strict=True) if not waits
        ]
        judgements = self._judge(model, [content for _, content in available])
        judged = [(frame, judgement) for (frame, _), judgement in zip(available, judgements, strict=True)]
        with metrics.STEP_SECONDS.labels("store").time():
            to_store = [frame for frame, judgement in judged if _should_store(frame, judgement, model.recipe)]
            not_stored = self._images.store(to_store)
        waiting = {frame.frame.frame_id for frame in not_stored}
        verdicts = [
            self._verdict(frame, judgement, model, image_waits=frame.frame.frame_id in waiting)
            for frame, judgement in judged
        ]
        flagged = {verdict.frame.frame_id: verdict for verdict in verdicts if verdict.flagged}
        images = [
            ImageDeferred(
                frame=frame.frame,
                key=image_key(frame),
                content_type=CONTENT_TYPES[frame.encoding],
                image=frame.image,
                verdict=flagged.get(frame.frame.frame_id),
            )
            for frame in not_stored
        ]
        return [*verdicts, *images, *deferred]

    def _judge(self, model: Model, contents: Sequence[bytes | Missing]) -> list[Judgement]:
        """Judge all images in one run of the network.

        An image that is missing, can't be decoded, or gets scores that are not finite has the verdict *error*.
        """
        with metrics.STEP_SECONDS.labels("prepare").time():
            prepared = list(self._threads.map(lambda content: _prepare(content, model.recipe.image), contents))
        with metrics.STEP_SECONDS.labels("judge").time():
            judgements = iter(model.judge([one for one in prepared if not isinstance(one, Judgement)]))
        return [one if isinstance(one, Judgement) else next(judgements) for one in prepared]

    def _verdict(
        self, frame: FrameCaptured, judgement: Judgement, model: Model, *, image_waits: bool
    ) -> FrameInspected:
        now = self._clock()
        latency = max(0.0, (now - frame.frame.captured_at).total_seconds())
        metrics.FRAMES.labels(frame.frame.line, judgement.verdict).inc()
        metrics.LATENCY_SECONDS.observe(latency)
        has_image = bool(frame.image_key) or _should_store(frame, judgement, model.recipe)
        return FrameInspected(
            frame=frame.frame,
            verdict=judgement.verdict,
            reason=judgement.reason,
            findings=judgement.findings,
            flagged=judgement.flagged,
            recipe=model.recipe.name,
            model_version=model.version,
            at=now,
            latency_ms=latency * 1000,
            image_key=image_key(frame) if has_image else None,
            image_waits=image_waits,
        )


def _as_frame(message: Message) -> FrameCaptured:
    if not isinstance(message, FrameCaptured):
        raise Reject(f"a {type(message).__name__} is not a frame: it was sent to the wrong queue")
    return message


def _prepare(content: bytes | Missing, spec: ImageSpec) -> Prepared | Judgement:
    if isinstance(content, Missing):
        return error_judgement(f"its image is gone: {content.reason}")
    try:
        return prepare(decode(content), spec)
    except UnreadableImage as error:
        return error_judgement(f"not an image: {error}")


def _should_store(frame: FrameCaptured, judgement: Judgement, recipe: Recipe) -> bool:
    """Return whether to store the image that a frame carries: of flagged frames, and of every nth passed one."""
    if frame.image_key:
        return False
    nth = recipe.keeping.every_nth_passed
    return judgement.flagged or (nth > 0 and judgement.verdict is Verdict.OK and frame.frame.sequence % nth == 0)
