"""Images as bytes, and as the numbers that a network takes."""

from typing import Literal

import numpy as np
import pytest

from shared.imaging.codec import UnreadableImage, decode, encode, size_of
from shared.imaging.preprocessing import prepare
from shared.recipe import ImageSpec
from tests.images import BOMBS

NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_the_size_is_read_from_the_header(encoding: Literal["jpeg", "png"]) -> None:
    assert size_of(encode(NOISE, encoding)) == (80, 60)


def test_a_png_keeps_every_pixel() -> None:
    assert np.array_equal(decode(encode(NOISE, "png")), NOISE)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "zero bytes"),
        (b"GIF89a", "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff", "no start of frame"),
        (encode(NOISE, "png")[:200], "broken image"),
        (encode(NOISE, "jpeg")[:-400], "broken image"),
        (BOMBS["PNG that claims 100 megapixels"], "100 megapixels, and the limit is 50"),
    ],
)
def test_a_file_that_is_no_image_is_named(content: bytes, complaint: str) -> None:
    with pytest.raises(UnreadableImage, match=complaint):
        decode(content)


def test_every_normalisation_gives_the_channels_of_the_recipe() -> None:
    image = np.full((16, 16, 3), 255, np.uint8)
    for colour in ("rgb", "grey"):
        for normalisation in ("image", "unit", "imagenet"):
            spec = ImageSpec.model_validate(
                {"height": 16, "width": 24, "colour": colour, "normalisation": normalisation}
            )
            assert prepare(image, spec).shape == spec.shape


def test_an_image_is_normalised_by_itself() -> None:
    spec = ImageSpec(height=32, width=48)
    prepared = prepare(NOISE, spec)
    assert prepared.shape == (32, 48, 3)
    assert prepared.mean() == pytest.approx(0, abs=1e-4)
    assert prepared.std() == pytest.approx(1, abs=1e-3)
    brighter = np.clip(NOISE * 0.5 + 20, 0, 255).astype(np.uint8)
    assert np.abs(prepare(brighter, spec) - prepared).mean() < 0.05


def test_an_image_of_one_colour_is_no_division_by_zero() -> None:
    assert np.abs(prepare(np.full((20, 20, 3), 7, np.uint8), ImageSpec())).max() < 1e-3


def test_grey_has_one_channel_and_colours_are_red_green_blue() -> None:
    blue = np.zeros((16, 16, 3), np.uint8)
    blue[..., 0] = 255
    assert prepare(blue, ImageSpec(height=16, width=16, normalisation="unit"))[0, 0].tolist() == [0, 0, 1]
    assert prepare(blue, ImageSpec(height=16, width=16, colour="grey")).shape == (16, 16, 1)
