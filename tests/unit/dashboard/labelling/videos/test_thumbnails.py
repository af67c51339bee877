"""Thumbnails are made once, and few at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.dashboard.labelling.videos import thumbnails
from services.dashboard.labelling.videos.thumbnails import Thumbnails
from shared.imaging.codec import encode

IMAGE = encode(np.zeros((200, 300, 3), np.uint8), "jpeg")


class Watched:
    """Counts the images that are decoded at the same time."""

    def __init__(self) -> None:
        self.now = self.most = self.made = 0
        self._lock = threading.Lock()

    def thumbnail(self, content: bytes, width: int) -> bytes:
        with self._lock:
            self.now += 1
            self.made += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self._lock:
            self.now -= 1
        return content[:width]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched()
    monkeypatch.setattr(thumbnails, "thumbnail", made.thumbnail)
    return made


def test_many_requests_decode_no_more_pixels_at_a_time_than_one_large_image_has(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "PIXELS_AT_ONCE", 2 * 200 * 300)
    made = Thumbnails()
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda key: made.get(key, 64, lambda: IMAGE), range(24)))
    assert (watched.made, watched.most) == (24, 2)


def test_the_same_thumbnail_is_made_once(watched: Watched) -> None:
    made = Thumbnails()
    with ThreadPoolExecutor(4) as threads:
        shown = set(threads.map(lambda _: made.get("frame", 64, lambda: IMAGE), range(4)))
    before = watched.made
    assert made.get("frame", 64, lambda: b"not asked for") == shown.pop()
    assert watched.made == before <= thumbnails.AT_ONCE


def test_those_that_were_asked_for_long_ago_make_room(watched: Watched) -> None:
    made = Thumbnails(cached_bytes=2 * 64)
    for key in ("a", "b", "a", "c", "a", "b"):
        made.get(key, 64, lambda: IMAGE)
    assert watched.made == 4, "a, b and c, and b again"
