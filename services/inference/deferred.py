"""What had to wait for object storage: images to keep, and frames whose images are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.inference import metrics
from services.inference.image_store import started_threads
from shared.messages import FrameCaptured, FrameDeferred, ImageDeferred, Message
from shared.messaging.loop import Reject, RetryLater
from shared.storage.port import InvalidKey, ObjectStore, StorageError


class Deferred:
    """Does it as soon as storage is back; until then the broker keeps it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._hands = started_threads("deferred")

    def catch_up(self, messages: Sequence[Message]) -> list[Message]:
        """Keep the images, send flagged frames to be explained now, and those without a verdict to be judged.

        Raises:
            RetryLater: object storage is still away.
            Reject: a message is neither, or would write where it must not.
        """
        return [answer for answer in self._hands.map(self._one, messages) if answer]

    def _one(self, message: Message) -> Message | None:
        match message:
            case ImageDeferred():
                self._keep(message)
                return message.verdict and message.verdict.model_copy(update={"image_waits": False})
            case FrameDeferred():
                return self._readmit(message)
            case _:
                raise Reject(f"a {type(message).__name__} does not wait for object storage: it is in the wrong queue")

    def _keep(self, image: ImageDeferred) -> None:
        if not image.key.startswith(f"{image.frame.storage_key}/"):
            raise Reject(f"{image.key} is no place for an image of frame {image.frame.frame_id}")
        if image.verdict and (image.verdict.frame, image.verdict.image_key) != (image.frame, image.key):
            raise Reject(f"the verdict beside the image of frame {image.frame.frame_id} is on another one")
        _ask(lambda: self._store.put(image.key, image.image, image.content_type))
        metrics.IMAGES.labels("kept late").inc()

    def _readmit(self, frame: FrameDeferred) -> FrameCaptured:
        """Whether its image is there is for the inspector to say; that storage answers is enough."""
        _ask(lambda: self._store.exists(frame.image_key or ""))
        return FrameCaptured.model_validate(frame.model_dump())


def _ask(call: Callable[[], object]) -> None:
    try:
        call()
    except InvalidKey as error:
        raise Reject(str(error)) from error
    except StorageError as error:
        raise RetryLater(str(error)) from error
