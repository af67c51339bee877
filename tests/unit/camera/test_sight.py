"""A live camera that sends images in which nothing can be inspected."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from services.camera.sight import SightWatch
from shared.imaging.codec import Image
from shared.messages import CameraSight

SCENE = np.kron(np.random.default_rng(3).integers(30, 220, (30, 40)), np.ones((4, 4))).astype(np.uint8)


def scene(number: int) -> Image:
    """An image of the same scene with the noise of a sensor."""
    noise = np.random.default_rng(number).integers(-3, 4, (*SCENE.shape, 3))
    return np.asarray(np.clip(SCENE[..., None] + noise, 0, 255), np.uint8)


class Watched:
    """A watch whose clock is moved by the test, and what it says."""

    def __init__(self, **settings: object) -> None:
        self.now = 100.0
        self.reported: list[tuple[CameraSight, str]] = []
        chosen = CameraSettings(source="0", **settings)  # type: ignore[arg-type]
        self.watch = SightWatch(chosen, lambda *change: self.reported.append(change), lambda: self.now)

    def show(self, *images: Image, seconds: float = 0.2) -> list[CameraSight]:
        found = []
        for image in images:
            found.append(self.watch.check(image))
            self.now += seconds
        return found

    @property
    def sights(self) -> list[CameraSight]:
        return [sight for sight, _ in self.reported]


def test_a_camera_that_sees_its_scene_is_clear() -> None:
    watched = Watched()
    assert set(watched.show(*map(scene, range(60)))) == {CameraSight.CLEAR}
    assert watched.reported == []


def test_a_camera_that_sends_the_same_image_is_frozen_from_its_limit_on_and_clear_with_the_next_other_one() -> None:
    watched = Watched(frozen_seconds=2)
    found = watched.show(*[scene(0)] * 20)
    assert found == [CameraSight.CLEAR] * 10 + [CameraSight.FROZEN] * 10
    assert watched.show(scene(1), seconds=0.01) == [CameraSight.CLEAR]
    assert watched.sights == [CameraSight.FROZEN, CameraSight.CLEAR]


def test_an_image_that_differs_in_one_pixel_is_another_one() -> None:
    watched = Watched(frozen_seconds=2)
    images = [scene(0) for _ in range(20)]
    for number, image in enumerate(images):
        image[1, 1, 0] = number
    assert set(watched.show(*images)) == {CameraSight.CLEAR}


def test_freezing_is_not_looked_for_when_it_is_switched_off() -> None:
    assert set(Watched(frozen_seconds=0).show(*[scene(0)] * 90)) == {CameraSight.CLEAR}


def dark(image: Image) -> Image:
    return (image // 25).astype(np.uint8)


def overexposed(image: Image) -> Image:
    return (245 + image % 9).astype(np.uint8)


def covered(image: Image) -> Image:
    return (110 + image // 60).astype(np.uint8)


def blurred(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 3), np.uint8)


@pytest.mark.parametrize(
    ("spoil", "sight"),
    [(dark, CameraSight.DARK), (overexposed, CameraSight.OVEREXPOSED), (covered, CameraSight.COVERED)],
)
def test_a_camera_that_sees_nothing_is_reported_after_its_time_and_not_before(spoil, sight: CameraSight) -> None:  # type: ignore[no-untyped-def]
    watched = Watched(blind_seconds=3)
    spoilt = [spoil(scene(number)) for number in range(30)]
    assert set(watched.show(*spoilt[:14])) == {CameraSight.CLEAR}
    assert watched.show(*spoilt[14:])[-1] is sight
    watched.show(*map(scene, range(10)))
    assert watched.sights == [sight, CameraSight.CLEAR]
    assert "check" in watched.reported[0][1]


@pytest.mark.parametrize(
    ("spoil", "sight"),
    [
        (blurred, CameraSight.BLURRED),
        (lambda image: (image // 4).astype(np.uint8), CameraSight.DARK),
        (lambda image: (image // 5 + 90).astype(np.uint8), CameraSight.COVERED),
    ],
)
def test_a_camera_that_sees_less_than_at_its_set_up_is_reported(tmp_path: Path, spoil, sight: CameraSight) -> None:  # type: ignore[no-untyped-def]
    reference = tmp_path / "set-up" / "reference.png"
    Watched(reference=reference).show(*(spoilt(scene(0)) for spoilt in (dark, overexposed, covered)), scene(0))
    assert reference.exists(), "the first image that shows something is the reference"
    watched = Watched(reference=reference)
    assert set(watched.show(*map(scene, range(30)))) == {CameraSight.CLEAR}
    assert watched.show(*(spoil(scene(number)) for number in range(30)))[-1] is sight


def test_the_limits_are_those_of_the_camera() -> None:
    spoilt = [dark(scene(number)) for number in range(40)]
    assert set(Watched(dark=0, covered=0).show(*spoilt)) == {CameraSight.CLEAR}


def test_only_the_region_of_interest_is_looked_at() -> None:
    def half_covered(number: int) -> Image:
        image = scene(number)
        image[:, :80] = 90 + number % 2
        return image

    images = [half_covered(number) for number in range(40)]
    assert Watched(roi="0,0,80,120").show(*images)[-1] is CameraSight.COVERED
    assert Watched(roi="80,0,80,120").show(*images)[-1] is CameraSight.CLEAR


def test_a_reference_that_cant_be_read_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "reference.png").write_bytes(b"no image")
    with pytest.raises(CameraError, match="delete it to take a new one"):
        Watched(reference=tmp_path / "reference.png")
    with pytest.raises(CameraError, match="is a folder: name an image file in it"):
        Watched(reference=tmp_path)


@pytest.mark.parametrize("ending", [".jpg", ".bmp", ".tiff", ".webp"])
def test_a_reference_may_be_an_image_of_any_kind_that_is_read(tmp_path: Path, ending: str) -> None:
    cv2.imwrite(str(tmp_path / f"reference{ending}"), scene(0))
    watched = Watched(reference=tmp_path / f"reference{ending}")
    assert watched.show(*(blurred(scene(number)) for number in range(30)))[-1] is CameraSight.BLURRED
