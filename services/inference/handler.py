"""Frames in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from services.inference import metrics
from services.inference.image_store import Images, Missing, image_key
from services.inference.model import Model, Prepared, unjudged
from shared.imaging.codec import UnreadableImage, decode
from shared.imaging.preprocessing import prepare
from shared.messages import FrameCaptured, FrameDeferred, FrameInspected, Message, Verdict
from shared.messaging.loop import Reject
from shared.recipe import ImageSpec, Recipe
from shared.verdict import Judgement


class Inspector:
    """Judges batches of frames, each batch with one model from beginning to end."""

    def __init__(
        self, model: Callable[[], Model], images: Images, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Judge with the model that ``model`` gives for each batch, and keep what has to be kept in ``images``."""
        self._model = model
        self._images = images
        self._clock = clock
        self._hands = ThreadPoolExecutor(thread_name_prefix="prepare")

    def inspect(self, messages: Sequence[Message]) -> list[Message]:
        """Judge frames.

        Returns:
            A verdict for each frame, in their order; then the images that object storage did not take, and the frames
            whose images it did not give: they wait for it in a queue of their own, and their neighbours do not.

        Raises:
            Reject: a message is no frame.
        """
        frames = [_as_frame(message) for message in messages]
        model = self._model()
        metrics.BATCH.observe(len(frames))
        with metrics.STEP_SECONDS.labels("fetch").time():
            contents = self._images.fetch(frames)
        deferred = [_defer(frame) for frame, content in zip(frames, contents, strict=True) if _may_come(content)]
        here = [entry for entry in zip(frames, contents, strict=True) if not _may_come(entry[1])]
        judgements = self._judge(model, [content for _, content in here])
        judged = [(frame, judgement) for (frame, _), judgement in zip(here, judgements, strict=True)]
        with metrics.STEP_SECONDS.labels("keep").time():
            left = self._images.keep([frame for frame, judgement in judged if _is_kept(frame, judgement, model.recipe)])
        waiting = {one.frame.frame_id for one in left}
        verdicts = [
            self._tell(frame, judgement, model, waits=frame.frame.frame_id in waiting) for frame, judgement in judged
        ]
        flagged = {verdict.frame.frame_id: verdict for verdict in verdicts if verdict.flagged}
        to_keep = [one.model_copy(update={"verdict": flagged.get(one.frame.frame_id)}) for one in left]
        return [*verdicts, *to_keep, *deferred]

    def _judge(self, model: Model, contents: Sequence[bytes | Missing]) -> list[Judgement]:
        with metrics.STEP_SECONDS.labels("prepare").time():
            prepared = list(self._hands.map(partial(_prepare, spec=model.recipe.image), contents))
        with metrics.STEP_SECONDS.labels("judge").time():
            judgements = iter(model.judge([one for one in prepared if not isinstance(one, Judgement)]))
        return [one if isinstance(one, Judgement) else next(judgements) for one in prepared]

    def _tell(self, frame: FrameCaptured, judgement: Judgement, model: Model, *, waits: bool) -> FrameInspected:
        now = self._clock()
        latency = max(0.0, (now - frame.frame.captured_at).total_seconds())
        metrics.FRAMES.labels(frame.frame.line, judgement.verdict).inc()
        metrics.LATENCY_SECONDS.observe(latency)
        return FrameInspected(
            frame=frame.frame,
            verdict=judgement.verdict,
            reason=judgement.reason,
            findings=judgement.findings,
            flagged=judgement.flagged,
            recipe=model.recipe.name,
            model_version=model.version,
            inspected_at=now,
            latency_ms=latency * 1000,
            image_key=image_key(frame) if _has_image_in_storage(frame, judgement, model.recipe) else None,
            image_waits=waits,
        )


def _as_frame(message: Message) -> FrameCaptured:
    if not isinstance(message, FrameCaptured):
        raise Reject(f"a {type(message).__name__} is no frame to judge: it was sent to the wrong queue")
    return message


def _may_come(content: bytes | Missing) -> bool:
    return isinstance(content, Missing) and content.passing


def _defer(frame: FrameCaptured) -> FrameDeferred:
    return FrameDeferred.model_validate(frame.model_dump())


def _prepare(content: bytes | Missing, spec: ImageSpec) -> Prepared | Judgement:
    if isinstance(content, Missing):
        return unjudged(f"its image is gone: {content.reason}")
    try:
        return prepare(decode(content), spec)
    except UnreadableImage as error:
        return unjudged(f"not an image: {error}")


def _has_image_in_storage(frame: FrameCaptured, judgement: Judgement, recipe: Recipe) -> bool:
    return bool(frame.image_key) or _is_kept(frame, judgement, recipe)


def _is_kept(frame: FrameCaptured, judgement: Judgement, recipe: Recipe) -> bool:
    """Whether the image that a frame brings goes to object storage: when flagged, and now and then when passed."""
    if frame.image_key:
        return False
    nth = recipe.keeping.every_nth_passed
    return judgement.flagged or (nth > 0 and judgement.verdict is Verdict.OK and frame.frame.sequence % nth == 0)
