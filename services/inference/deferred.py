"""Finish the work that waited for object storage: store images, and return frames whose images are available."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.inference import metrics
from services.inference.image_store import thread_pool
from shared.messages import FrameCaptured, FrameDeferred, ImageDeferred, Message
from shared.messaging.loop import Reject, RetryLater
from shared.storage.port import InvalidKey, ObjectStore, StorageError


class DeferredWork:
    """Finish deferred work once object storage is back; the broker holds it until then."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._threads = thread_pool("deferred")

    def finish(self, messages: Sequence[Message]) -> list[Message]:
        """Store images, and return the verdicts to explain and the frames to inspect.

        Raises:
            RetryLater: object storage is still unavailable.
            Reject: a message is neither an image nor a frame, or names a key outside its frame's folder.
        """
        return [answer for answer in self._threads.map(self._finish, messages) if answer]

    def _finish(self, message: Message) -> Message | None:
        match message:
            case ImageDeferred():
                self._store_image(message)
                return message.verdict and message.verdict.model_copy(update={"image_waits": False})
            case FrameDeferred():
                # the inspector finds out whether the image exists; here it is enough that object storage answers
                _call(lambda: self._store.exists(message.image_key or ""))
                return FrameCaptured.model_validate(message.model_dump())
            case _:
                raise Reject(f"a {type(message).__name__} does not wait for object storage: it is in the wrong queue")

    def _store_image(self, image: ImageDeferred) -> None:
        if not image.key.startswith(f"{image.frame.storage_key}/"):
            raise Reject(f"{image.key} is outside the folder of frame {image.frame.frame_id}")
        if image.verdict and (image.verdict.frame, image.verdict.image_key) != (image.frame, image.key):
            raise Reject(f"the verdict beside the image of frame {image.frame.frame_id} is about another frame")
        _call(lambda: self._store.put(image.key, image.image, image.content_type))
        metrics.IMAGES.labels("stored late").inc()


def _call(operation: Callable[[], object]) -> None:
    try:
        operation()
    except InvalidKey as error:
        raise Reject(str(error)) from error
    except StorageError as error:
        raise RetryLater(str(error)) from error
