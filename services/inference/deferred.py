"""Finish the work that waited for object storage: store images, and return frames to be inspected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.inference import metrics
from services.inference.image_store import thread_pool
from shared.contracts.bundle import PRODUCTION, folder_of
from shared.messages import FrameDeferred, FrameReturned, ImageDeferred, Message
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
                if not message.key.startswith(f"{message.frame.storage_key}/"):
                    raise Reject(f"{message.key} is outside the folder of frame {message.frame.frame_id}")
                if message.verdict and (message.verdict.frame, message.verdict.image_key) != (
                    message.frame,
                    message.key,
                ):
                    raise Reject(
                        f"the verdict beside the image of frame {message.frame.frame_id} is about another frame"
                    )
                _call(lambda: self._store.put(message.key, message.image, message.content_type))
                metrics.IMAGES.labels("stored late").inc()
                return message.verdict and message.verdict.model_copy(update={"image_waits": False})
            case FrameDeferred():
                # the inspector finds out whether image and model exist; here it is enough that object storage answers
                key = message.image_key or folder_of(message.frame.recipe or "any", PRODUCTION)
                _call(lambda: self._store.exists(key))
                return FrameReturned.model_validate(message.model_dump())
            case _:
                raise Reject(f"a {type(message).__name__} does not wait for object storage: it is in the wrong queue")


def _call(operation: Callable[[], object]) -> None:
    try:
        operation()
    except InvalidKey as error:
        raise Reject(str(error)) from error
    except StorageError as error:
        raise RetryLater(str(error)) from error
