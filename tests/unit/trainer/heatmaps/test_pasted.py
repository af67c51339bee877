"""Pasted defects: small pieces that do not belong, each with its mask."""

from __future__ import annotations

import numpy as np

from services.trainer.heatmaps.pasted import paste_defect


def test_an_image_differs_from_the_good_one_around_the_mask_alone() -> None:
    rng = np.random.default_rng(0)
    image = np.full((64, 96, 3), 100, np.uint8)
    source = rng.integers(0, 256, image.shape, np.uint8)
    shares = []
    for _ in range(50):
        pasted, mask = paste_defect(image, source, rng)
        assert pasted.shape == image.shape
        assert mask.shape == image.shape[:2]
        changed = (pasted != image).any(axis=-1)
        rows, columns = np.nonzero(mask)
        box = np.s_[max(0, rows.min() - 4) : rows.max() + 5, max(0, columns.min() - 4) : columns.max() + 5]
        assert changed[mask].any()
        assert changed.sum() == changed[box].sum(), "nothing changes but for the soft edge"
        shares.append(mask.mean())
    assert 0 < min(shares) < 0.005, "thin scratches"
    assert 0.02 < max(shares) < 0.07, "large spots"


def test_grey_images_stay_grey() -> None:
    image = np.zeros((32, 32, 1), np.uint8)
    pasted, mask = paste_defect(image, image + 200, np.random.default_rng(1))
    assert pasted.shape == image.shape
    assert pasted[mask].max() > 50
