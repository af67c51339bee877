import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.training.augmentation import augment, move_strip, relight
from shared.recipe import Augmentation

NOTHING = Augmentation(brightness=False)
EVERYTHING = Augmentation(
    moved_strip=True, flip_horizontal=True, flip_vertical=True, shift=0.1, rotation=20, blur=True, noise=True
)


@pytest.fixture(params=[1, 3])
def pixels(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (24, 40, request.param), dtype=np.uint8)


def variants(pixels: NDArray[np.uint8], allowed: Augmentation) -> list[NDArray[np.uint8]]:
    return [augment(pixels, allowed, np.random.default_rng(seed)) for seed in range(60)]


def test_shape_and_type_stay_and_the_image_itself_is_not_changed(pixels: NDArray[np.uint8]) -> None:
    before = pixels.copy()
    for changed in variants(pixels, EVERYTHING):
        assert changed.shape == pixels.shape
        assert changed.dtype == np.uint8
    assert np.array_equal(pixels, before)


def test_nothing_is_done_that_the_recipe_does_not_allow(pixels: NDArray[np.uint8]) -> None:
    assert all(np.array_equal(changed, pixels) for changed in variants(pixels, NOTHING))


@pytest.mark.parametrize(
    ("allowed", "mirrored"),
    [("flip_horizontal", np.s_[:, ::-1]), ("flip_vertical", np.s_[::-1])],
)
def test_a_flip_mirrors_half_of_the_images(
    pixels: NDArray[np.uint8], allowed: str, mirrored: tuple[slice, ...]
) -> None:
    changed = variants(pixels, NOTHING.model_copy(update={allowed: True}))
    flipped = sum(np.array_equal(image, pixels[mirrored]) for image in changed)
    assert 15 < flipped < 45
    assert sum(np.array_equal(image, pixels) for image in changed) == 60 - flipped


def test_a_moved_strip_goes_from_the_top_to_the_bottom(pixels: NDArray[np.uint8]) -> None:
    moved = move_strip(pixels, 5)
    assert np.array_equal(moved[:-5], pixels[5:])
    assert np.array_equal(moved[-5:], pixels[:5])


def test_a_moved_strip_is_at_most_a_third_of_the_image(pixels: NDArray[np.uint8]) -> None:
    changed = variants(pixels, NOTHING.model_copy(update={"moved_strip": True}))
    heights = [next(rows for rows in range(24) if np.array_equal(image, move_strip(pixels, rows))) for image in changed]
    assert 0 < max(heights) <= 8
    assert 15 < sum(height > 0 for height in heights) < 45


def test_brightness_changes_seven_images_of_ten() -> None:
    pixels = np.full((8, 8, 3), 100, np.uint8)
    allowed = NOTHING.model_copy(update={"brightness": True})
    values = [int(augment(pixels, allowed, np.random.default_rng(seed))[0, 0, 0]) for seed in range(400)]
    assert np.mean([value != 100 for value in values]) == pytest.approx(0.7, abs=0.08)
    assert 80 <= min(values) < 90
    assert 120 < max(values) <= 135


def test_light_is_held_between_black_and_white() -> None:
    pixels = np.array([[[0], [250]]], np.uint8)
    assert relight(pixels, 1.2, 15).ravel().tolist() == [15, 255]


def test_a_shift_mirrors_the_border_instead_of_bringing_in_black(pixels: NDArray[np.uint8]) -> None:
    white = np.full_like(pixels, 255)
    allowed = NOTHING.model_copy(update={"shift": 0.3, "rotation": 30.0})
    assert all(image.min() >= 254 for image in variants(white, allowed))


def test_the_same_lots_give_the_same_image(pixels: NDArray[np.uint8]) -> None:
    first, second = (augment(pixels, EVERYTHING, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)
