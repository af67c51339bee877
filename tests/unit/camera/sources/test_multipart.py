"""Motion JPEG whose parts are not as their headers say: no image is lost without being counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from services.camera.sources.multipart import MultipartReader
from tests.web_cameras import jpeg

IMAGES = [jpeg(number) for number in range(12)]
LIMIT = 200_000
NAMED = "multipart/x-mixed-replace; boundary=frame"


def sent(parts: Sequence[tuple[str, bytes]], boundary: str = "--frame", end: str = "\r\n") -> bytes:
    """Parts with the lengths that their headers name; an empty one: no such header."""
    body = b""
    for length, content in parts:
        named = f"Content-Length: {length}{end}" if length else ""
        body += f"{boundary}{end}Content-Type: image/jpeg{end}{named}{end}".encode() + content + end.encode()
    return body


def read(body: bytes, content_type: str = NAMED, step: int = 700) -> list[bytes]:
    chunks: Iterator[bytes] = (body[at : at + step] for at in range(0, len(body), step))
    return [part.content.rstrip(b"\r\n") for part in MultipartReader(chunks, content_type, LIMIT).parts()]


@pytest.mark.parametrize("step", [1, 700, 10**6])
@pytest.mark.parametrize("error", [-1, -300, 1, 2, 30, 90, 4_000], ids="{:+}".format)
def test_a_wrong_length_loses_no_image(error: int, step: int) -> None:
    body = sent([(str(len(image) + error), image) for image in IMAGES]) + b"--frame--\r\n"
    assert read(body, step=step) == IMAGES


@pytest.mark.parametrize(
    "length", ["0", "-1", "x", "1.5", "9" * 6_000, str(LIMIT + 1), "٣", ""], ids=lambda text: text[:9]
)
def test_a_length_that_is_none_is_not_used(length: str) -> None:
    assert read(sent([(length, image) for image in IMAGES])) == IMAGES


def test_one_wrong_length_among_right_ones_loses_no_image() -> None:
    errors = {4: 2_000, 7: -200}
    parts = [(str(len(image) + errors.get(number, 0)), image) for number, image in enumerate(IMAGES)]
    assert read(sent(parts)) == IMAGES


@pytest.mark.parametrize("damaged", [b"", b"<html>busy</html>", IMAGES[3][:200], IMAGES[3][:-2], b"\n--\xff\n" * 30])
@pytest.mark.parametrize("with_lengths", [True, False])
def test_a_damaged_part_is_a_part_and_its_neighbours_are_whole(damaged: bytes, with_lengths: bool) -> None:
    contents = [*IMAGES[:3], damaged, *IMAGES[4:]]
    parts = read(sent([(str(len(each)) if with_lengths else "", each) for each in contents]))
    assert parts == [*IMAGES[:3], damaged.rstrip(b"\r\n"), *IMAGES[4:]]


def test_an_image_without_a_boundary_before_or_behind_it_is_taken_by_its_length() -> None:
    body = sent([(str(len(image)), image) for image in IMAGES]).replace(b"--frame\r\n", b"")
    assert read(body) == IMAGES
    assert read(body, "multipart/x-mixed-replace") == IMAGES


@pytest.mark.parametrize(
    ("boundary", "content_type"),
    [
        ("--frame", "multipart/x-mixed-replace; boundary=other"),
        ("--a b'c(d)+e?f", 'multipart/x-mixed-replace;boundary="a b\'c(d)+e?f"'),
        ("frame", NAMED),
        ("------=_Part_1.2", "multipart/x-mixed-replace; boundary=----=_Part_1.2"),
        ("--", NAMED),
    ],
)
def test_an_odd_boundary_loses_no_image(boundary: str, content_type: str) -> None:
    with_lengths = sent([(str(len(image)), image) for image in IMAGES], boundary)
    assert read(with_lengths, content_type) == IMAGES


def test_lines_may_end_with_a_line_feed_alone() -> None:
    assert read(sent([("", image) for image in IMAGES], end="\n")) == IMAGES
    assert read(sent([(str(len(image)), image) for image in IMAGES], end="\n")) == IMAGES


def test_the_last_image_is_there_also_if_the_camera_breaks_off() -> None:
    body = sent([("", image) for image in IMAGES])
    assert read(body[:-300]) == [*IMAGES[:-1], (IMAGES[-1] + b"\r\n")[:-300]]
    whole = sent([(str(len(image)), image) for image in IMAGES])
    assert read(whole[:-300]) == [*IMAGES[:-1], (IMAGES[-1] + b"\r\n")[:-300]]
