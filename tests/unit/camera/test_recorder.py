from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from services.camera import recorder as recording
from services.camera.errors import CameraError
from services.camera.recorder import VideoRecorder
from tests.camera_videos import image_of, number_of


def numbers_in(path: Path) -> list[int]:
    video = cv2.VideoCapture(str(path))
    numbers: list[int] = []
    while True:
        readable, image = video.read()
        if not readable:
            return numbers
        numbers.append(number_of(np.asarray(image, np.uint8)))


def videos_in(folder: Path) -> Sequence[Path]:
    return sorted(folder.glob("*.mp4"))


def test_a_video_shows_every_frame_in_order_at_the_cameras_speed(tmp_path: Path) -> None:
    recorder = VideoRecorder(tmp_path / "videos", "line.camera", frames_per_second=12.5, minutes=5)
    for number in range(30):
        recorder.write(image_of(number))
    recorder.close()
    (video,) = videos_in(tmp_path / "videos")
    assert numbers_in(video) == list(range(30))
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS) == 12.5


def test_a_new_video_begins_every_few_minutes(tmp_path: Path) -> None:
    recorder = VideoRecorder(tmp_path, "line.camera", frames_per_second=10, minutes=0.01)
    for number in range(15):
        recorder.write(image_of(number))
    assert numbers_in(videos_in(tmp_path)[0]) == list(range(6)), "an ended video can be read while the next is written"
    recorder.close()
    assert [numbers_in(video) for video in videos_in(tmp_path)] == [list(range(6)), list(range(6, 12)), [12, 13, 14]]


def test_an_image_of_another_size_begins_a_new_video(tmp_path: Path) -> None:
    recorder = VideoRecorder(tmp_path, "line.camera", frames_per_second=10, minutes=5)
    recorder.write(image_of(1))
    recorder.write(image_of(2, (96, 64)))
    recorder.close()
    assert [numbers_in(video) for video in videos_in(tmp_path)] == [[1], [2]]


def test_a_disk_that_is_almost_full_is_left_to_the_outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(recording.LEAST_FREE - 1))
    recorder = VideoRecorder(tmp_path, "line.camera", frames_per_second=10, minutes=5)
    recorder.write(image_of(1))
    recorder.close()
    assert videos_in(tmp_path) == []


def test_a_folder_that_cant_be_created_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CameraError, match="CAMERA_RECORD"):
        VideoRecorder(tmp_path / "file" / "videos", "line.camera", 10, 5)
