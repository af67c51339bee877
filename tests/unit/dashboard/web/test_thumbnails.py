"""Thumbnails are made once, and few at the same time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.dashboard.web import thumbnails
from services.dashboard.web.thumbnails import Thumbnails, thumbnail
from shared.imaging.codec import decode, encode
from tests.labelling import jpeg

IMAGE = encode(np.zeros((200, 300, 3), np.uint8), "jpeg")


class ThumbnailCounter:
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
def counter(monkeypatch: pytest.MonkeyPatch) -> ThumbnailCounter:
    made = ThumbnailCounter()
    monkeypatch.setattr(thumbnails, "thumbnail", made.thumbnail)
    return made


def test_requests_decode_no_more_pixels_at_once_than_one_large_image_has(
    counter: ThumbnailCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "PIXELS_AT_ONCE", 2 * 200 * 300)
    made = Thumbnails()
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda key: made.get(key, 64, lambda: IMAGE), range(24)))
    assert (counter.made, counter.most) == (24, 2)


def test_the_same_thumbnail_is_made_once(counter: ThumbnailCounter) -> None:
    made = Thumbnails()
    with ThreadPoolExecutor(4) as threads:
        shown = set(threads.map(lambda _: made.get("frame", 64, lambda: IMAGE), range(4)))
    before = counter.made
    assert made.get("frame", 64, lambda: b"not read") == shown.pop()
    assert counter.made == before <= thumbnails.MOST_AT_ONCE


def test_the_thumbnails_requested_longest_ago_leave_the_cache(counter: ThumbnailCounter) -> None:
    made = Thumbnails(cache_bytes=2 * 64)
    for key in ("a", "b", "a", "c", "a", "b"):
        made.get(key, 64, lambda: IMAGE)
    assert counter.made == 4, "a, b and c, and b again"


def test_a_thumbnail_is_no_wider_than_requested() -> None:
    assert decode(thumbnail(jpeg(1), 40)).shape[:2] == (30, 40)
    assert thumbnail(jpeg(1), 500) == jpeg(1)
