"""Object storage that fails, hangs and comes back, as seen by the inference worker."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from services.inference.deferred import DeferredWork
from services.inference.image_store import THREADS, CircuitBreaker, ImageStore, thread_pool
from shared.imaging.codec import encode
from shared.messages import FrameDeferred, FrameReturned, ImageDeferred
from shared.messaging.loop import Reject, RetryLater
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.messages import inspected
from tests.models import captured, painted
from tests.processes import wait_until


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class HangingStore(FilesystemStore):
    """A folder on a share that does not answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.answers = threading.Event()

    def put(self, key: str, content: bytes, content_type: str = "") -> None:
        if not self.answers.wait(60):
            raise StorageUnavailable("no answer")
        super().put(key, content, content_type)


def test_a_failed_storage_is_not_called_except_for_one_probe_after_each_pause() -> None:
    clock = Clock()
    breaker = CircuitBreaker(5, clock)
    assert breaker.is_closed
    assert not breaker.probe_is_due()
    breaker.record_failure("no answer")
    assert not breaker.is_closed
    assert not breaker.probe_is_due()
    clock.now = 5.1
    assert breaker.probe_is_due()
    assert not breaker.probe_is_due()
    breaker.record_failure("still no answer")
    clock.now = 10.3
    assert breaker.probe_is_due()
    breaker.record_success()
    assert breaker.is_closed


def images_of(count: int) -> dict[str, bytes]:
    """Return images by their keys."""
    return {
        f"{captured(number, b'').frame.storage_key}/image.ng.png": encode(painted("blue"), "png")
        for number in range(count)
    }


def test_a_storage_that_hangs_costs_one_wait_and_not_one_for_each_frame(tmp_path: Path) -> None:
    store = HangingStore(tmp_path)
    images = ImageStore(store, wait_seconds=0.5, pause_seconds=0.01)
    frames = images_of(4)
    started = time.monotonic()
    left = [images.store(frames) for _ in range(100)]
    assert time.monotonic() - started < 25
    assert [len(batch) for batch in left] == [4] * 100
    store.answers.set()


def test_the_images_of_a_batch_are_stored_in_parallel(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    class AllAtOnce(FilesystemStore):
        def put(self, key: str, content: bytes, content_type: str = "") -> None:
            together.wait(60)
            super().put(key, content, content_type)

    images = ImageStore(AllAtOnce(tmp_path), wait_seconds=60, pause_seconds=60)
    assert images.store(images_of(8)) == set()


def test_storage_that_is_back_is_used_again(tmp_path: Path) -> None:
    store = HangingStore(tmp_path)
    images = ImageStore(store, wait_seconds=0.5, pause_seconds=0.1)
    frames = images_of(4)
    assert len(images.store(frames)) == 4
    store.answers.set()
    wait_until(lambda: images.store(frames) == set(), 120, "storage to be used again")
    assert len(list(store.keys("frames/"))) == 4


def _deferred_image() -> ImageDeferred:
    frame = captured(3, painted("blue"))
    return ImageDeferred(
        frame=frame.frame,
        key=f"{frame.frame.storage_key}/image.png",
        content_type="image/png",
        image=frame.image,
    )


def test_a_deferred_image_is_stored_under_its_key(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    image = _deferred_image()
    assert DeferredWork(store).finish([image]) == []
    assert store.get(image.key) == image.image


def test_a_deferred_image_with_the_verdict_on_another_frame_is_rejected(tmp_path: Path) -> None:
    image = _deferred_image()
    other = inspected(1, flagged=True)
    with pytest.raises(Reject, match="is about another frame"):
        DeferredWork(FilesystemStore(tmp_path)).finish([image.model_copy(update={"verdict": other})])


def test_a_deferred_frame_is_inspected_when_storage_answers(tmp_path: Path) -> None:
    frame = captured(3, b"", stored_as="large.png")
    (again,) = DeferredWork(FilesystemStore(tmp_path)).finish([FrameDeferred.model_validate(frame.model_dump())])
    assert type(again) is FrameReturned
    assert again.model_dump() == frame.model_dump()


def test_deferred_work_waits_while_storage_is_unavailable(tmp_path: Path) -> None:
    class Away(FilesystemStore):
        def put(self, key: str, content: bytes, content_type: str = "") -> None:
            raise StorageUnavailable("away")

        def exists(self, key: str) -> bool:
            raise StorageUnavailable("away")

    deferred = DeferredWork(Away(tmp_path))
    with pytest.raises(RetryLater, match="away"):
        deferred.finish([_deferred_image()])
    with pytest.raises(RetryLater, match="away"):
        deferred.finish([FrameDeferred.model_validate(captured(1, b"", stored_as="a.png").model_dump())])


@pytest.mark.parametrize("key", ["models/paint/v1/manifest.json", "frames/line-1/other/image.png", "../etc/passwd"])
def test_a_message_can_not_write_outside_the_folder_of_its_frame(tmp_path: Path, key: str) -> None:
    with pytest.raises(Reject, match="is outside the folder"):
        DeferredWork(FilesystemStore(tmp_path)).finish([_deferred_image().model_copy(update={"key": key})])
    assert list(FilesystemStore(tmp_path).keys("")) == []


def test_a_message_that_does_not_wait_for_storage_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Reject, match="FrameCaptured does not wait"):
        DeferredWork(FilesystemStore(tmp_path)).finish([captured(0, painted("blue"))])


def test_a_worker_has_all_its_threads_before_an_outage_needs_them() -> None:
    pool = thread_pool("counted")
    assert sum(thread.name.startswith("counted") for thread in threading.enumerate()) == THREADS
    pool.shutdown()
