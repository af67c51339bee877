"""The live view's images: the newest of each camera, at a low rate, and nothing waits for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.inference.live_images import LiveImages
from shared.contracts.live import LiveImage, live_key
from shared.messages import Verdict
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import ObjectNotFound, StorageUnavailable
from shared.verdict import Judgement
from tests.models import captured, painted
from tests.processes import wait_until

OK = Judgement(Verdict.OK, "no fault", {}, flagged=False)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class AwayStore(FilesystemStore):
    calls = 0

    def put(self, key: str, content: bytes, content_type: str = "") -> None:
        self.calls += 1
        raise StorageUnavailable("no answer")


def test_the_newest_image_of_a_camera_replaces_the_one_before_once_it_is_due(tmp_path: Path) -> None:
    store, clock = FilesystemStore(tmp_path), Clock()
    live = LiveImages(store, 1.0, clock)
    first, second, third = (captured(number, painted("black")) for number in range(3))
    key = live_key(first.frame.line, first.frame.camera)

    def shown() -> str:
        try:
            return LiveImage.decode(store.get(key)).live_frame.frame.frame_id
        except ObjectNotFound:
            return ""

    live.show(first, OK)
    wait_until(lambda: shown() == first.frame.frame_id, 60, "the first image")
    live.show(second, OK)
    clock.now += 1.0

    def shows_third() -> bool:  # the thread may not have ended its work on the first one
        live.show(third, OK)
        return shown() == third.frame.frame_id

    wait_until(shows_third, 60, "the third image; the second came too soon")
    assert LiveImage.decode(store.get(key)).content == third.image


def test_a_storage_that_is_away_changes_nothing(tmp_path: Path) -> None:
    store, clock = AwayStore(tmp_path), Clock()
    live = LiveImages(store, 1.0, clock)
    frame = captured(1, painted("black"))

    def tried_twice() -> bool:
        live.show(frame, OK)
        clock.now += 1.0
        return store.calls >= 2

    wait_until(tried_twice, 60, "another attempt")


def test_no_image_is_stored_where_none_is_wanted(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    frame = captured(1, painted("black"))
    LiveImages(store, 0).show(frame, OK)
    assert list(store.keys("")) == []


def test_what_is_no_live_image_is_refused() -> None:
    with pytest.raises(ValueError, match="LiveFrame"):
        LiveImage.decode(b"\xff\xd8 a JPEG alone")
