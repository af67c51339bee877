"""What tests of the pages share: how long to wait, and images to look at."""

from __future__ import annotations

import cv2
import numpy as np
from playwright.sync_api import Page, expect

from shared.imaging.codec import encode
from shared.messages import FrameInspected
from shared.storage.port import ObjectStore

SOON = 120_000
"""Milliseconds that everything on a page may take; generous, because the machine may be busy."""


def put_images(store: ObjectStore, verdict: FrameInspected) -> None:
    """A grey image, and a heatmap that is hot in the middle."""
    image = np.full((96, 96, 3), 120, np.uint8)
    heat = np.asarray(cv2.circle(np.zeros((96, 96), np.uint8), (48, 48), 16, 255, -1), np.uint8)
    folder = verdict.frame.storage_key
    store.put(f"{folder}/image.jpg", encode(image, "jpeg"))
    for label in ("good", "break"):
        store.put(f"{folder}/heatmap.{label}.png", encode(heat, "png"))
    image[heat > 0] = (0, 170, 60)
    store.put(f"{folder}/overlay.jpg", encode(image, "jpeg"))


def is_loaded(page: Page, selector: str) -> None:
    """Wait until an image is there to be seen. Asked from outside: the page evaluates no text (its policy)."""
    image = page.locator(selector)
    expect(image).to_be_visible()
    expect(image).to_have_js_property("complete", True)
    expect(image).not_to_have_js_property("naturalWidth", 0)
