"""Any image that is written is read, and any bytes are an image within the limit or unreadable."""

from __future__ import annotations

import struct
import zlib
from typing import Literal

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.imaging.codec import UnreadableImage, decode, encode, size_of
from tests.bounded import run_bounded
from tests.images import BOMBS, OTHERS, SMALL, jpeg_of_many_scans, parts_of_jpeg
from tests.property.mutation import mutations

SIDES = st.integers(1, 70)
LIMIT = 1_000_000
"""Pixels that a mutated image may have: far below the limit, so that what a decoder takes beyond it is seen."""


@settings(max_examples=60)
@given(
    width=SIDES, height=SIDES, seed=st.integers(0, 1_000), encoding=st.sampled_from(["jpeg", "png"]), grey=st.booleans()
)
def test_any_image_is_read_as_it_was_written(
    width: int, height: int, seed: int, encoding: Literal["jpeg", "png"], grey: bool
) -> None:
    shape = (height, width) if grey else (height, width, 3)
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    content = encode(image, encoding)
    assert size_of(content) == (width, height)
    read = decode(content)
    assert read.shape == (height, width, 3)
    if encoding == "png":
        assert np.array_equal(read[..., 0] if grey else read, image)


def samples() -> list[bytes]:
    """Colours, grey, transparent, 16 bits, restart markers, progressive, and what is broken already."""
    transparent = np.dstack([SMALL, SMALL[..., :1]])
    written = [
        cv2.imencode(".png", SMALL)[1],
        cv2.imencode(".png", SMALL[..., 0])[1],
        cv2.imencode(".png", transparent)[1],
        cv2.imencode(".png", SMALL.astype(np.uint16) * 256)[1],
        cv2.imencode(".jpg", SMALL)[1],
        cv2.imencode(".jpg", SMALL[..., 0])[1],
        cv2.imencode(".jpg", SMALL, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1],
    ]
    small = [content for content in (*BOMBS.values(), *OTHERS.values()) if len(content) < 100_000]
    return [*(each.tobytes() for each in written), jpeg_of_many_scans(3), *small]


def decode_mutations() -> None:
    """Mutated bytes, and for each also with the checksums of a PNG made right, or decoders would stop there."""
    read, refusals = 0, set[str]()
    for content in mutations(samples(), 3_000):
        for attempt in {content, with_checksums(content)}:
            try:
                image = decode(attempt, LIMIT)
            except UnreadableImage as error:
                refusals.add(str(error).lower())
                continue
            read += 1
            assert image.shape[0] * image.shape[1] <= LIMIT
    assert read > 5, read  # a mutated file that is decoded completely is rare
    assert not any("memory" in refusal for refusal in refusals)


def with_checksums(content: bytes) -> bytes:
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    fixed, at = bytearray(content), 8
    while at + 12 <= len(fixed):
        (length,) = struct.unpack_from(">I", fixed, at)
        end = at + 8 + length
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


def test_mutated_images_are_read_within_the_limit_or_unreadable() -> None:
    run_bounded("tests.property.test_codec:decode_mutations", growth=64, seconds=30)


def test_the_samples_have_the_labels_of_their_table() -> None:
    assert 0xC2 in parts_of_jpeg(jpeg_of_many_scans(1))[0]
    assert all(len(content) > 50 for content in samples())
