"""Videos of strangers can take no more memory and time than a process of their own may."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.dashboard.labelling.videos import inspection as intake
from services.dashboard.labelling.videos import sandbox as apart
from services.dashboard.labelling.videos.inspection import look_through
from services.dashboard.labelling.videos.reader import UnreadableVideo, VideoReader
from services.dashboard.labelling.videos.sandbox import VideoApart, look_through_apart

MEBIBYTE = 1024**2


def write_video(path: Path, side: int, images: int = 6) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (side, side))
    for number in range(images):
        writer.write(np.full((side, side, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_a_video_is_looked_through_and_shown_as_it_is_within_this_process(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", 64)
    content = look_through_apart(path)
    assert content == look_through(path)
    video, same = VideoApart(path, content.times), VideoReader(path, content.times)
    assert [video.image(number) for number in (3, 0, 5)] == [same.image(number) for number in (3, 0, 5)]
    with pytest.raises(UnreadableVideo, match="can't be read"):
        video.image(99)
    video.close()
    with pytest.raises(ValueError, match="was closed"):
        video.image(1)


def test_a_small_file_of_large_images_takes_its_own_process_s_memory_alone(tmp_path: Path) -> None:
    path, small = write_video(tmp_path / "bomb.mp4", 4096), write_video(tmp_path / "small.mp4", 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert path.stat().st_size < 2 * MEBIBYTE
    with pytest.raises(UnreadableVideo):
        look_through_apart(path, memory_bytes=320 * MEBIBYTE)
    assert look_through_apart(small, memory_bytes=320 * MEBIBYTE).frames == 6
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20 * 1024, "kibibytes"


def test_a_video_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UnreadableVideo, match="limits of memory and time"):
        look_through_apart(write_video(tmp_path / "video.mp4", 64), seconds=0.05)
    assert time.monotonic() - began < 20


def test_a_decoder_that_hangs_is_ended_and_the_next_image_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "video.mp4", 64)
    video = VideoApart(path, look_through(path).times)
    assert video.image(0)
    child = video._child
    assert child
    subprocess.run(["kill", "-STOP", str(child.pid)], check=True)
    monkeypatch.setattr(apart, "IMAGE_SECONDS", 0.5)
    with pytest.raises(UnreadableVideo, match="limits of memory and time"):
        video.image(4)
    assert child.poll() is not None
    monkeypatch.undo()
    assert video.image(4)
    video.close()


def test_images_and_pixels_of_a_video_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "video.mp4", 64)
    monkeypatch.setattr(intake, "MOST_PIXELS", 5 * 64 * 64)
    with pytest.raises(UnreadableVideo, match="gigapixels together"):
        look_through(path)
    monkeypatch.setattr(intake, "VIDEO_PIXELS", 63 * 63)
    with pytest.raises(UnreadableVideo, match="scale it down"):
        look_through(path)


def test_decoders_see_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_STORAGE_SECRET_KEY", "secret")
    assert "DASHBOARD_STORAGE_SECRET_KEY" in os.environ
    assert not [name for name in apart._environment() if name.startswith("DASHBOARD_")]
