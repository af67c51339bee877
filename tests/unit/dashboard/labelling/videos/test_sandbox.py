"""Uploaded videos are decoded in a process with limited memory and time."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.dashboard.labelling.videos import sandbox
from services.dashboard.labelling.videos import scan as scan_module
from services.dashboard.labelling.videos.reader import VideoReader
from services.dashboard.labelling.videos.sandbox import SandboxedVideoReader, scan_in_sandbox
from services.dashboard.labelling.videos.scan import scan
from shared.imaging.video import UnreadableMedia

MEBIBYTE = 1024**2


def write_video(path: Path, side: int, images: int = 6) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (side, side))
    for number in range(images):
        writer.write(np.full((side, side, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_the_sandbox_reads_a_video_as_this_process_does(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", 64)
    content = scan_in_sandbox(path)
    assert content == scan(path)
    video, same = SandboxedVideoReader(path, content.times), VideoReader(path, content.times)
    assert [video.image(number) for number in (3, 0, 5)] == [same.image(number) for number in (3, 0, 5)]
    with pytest.raises(UnreadableMedia, match="can't be read"):
        video.image(99)
    video.close()
    with pytest.raises(ValueError, match="was closed"):
        video.image(1)


def test_a_small_file_with_large_frames_takes_no_memory_of_this_process(tmp_path: Path) -> None:
    path, small = write_video(tmp_path / "bomb.mp4", 4096), write_video(tmp_path / "small.mp4", 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert path.stat().st_size < 2 * MEBIBYTE
    with pytest.raises(UnreadableMedia):
        scan_in_sandbox(path, memory_bytes=320 * MEBIBYTE)
    assert scan_in_sandbox(small, memory_bytes=320 * MEBIBYTE).frames == 6
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20 * 1024, "kibibytes"


def test_a_video_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UnreadableMedia, match="limits of memory and time"):
        scan_in_sandbox(write_video(tmp_path / "video.mp4", 64), seconds=0.05)
    assert time.monotonic() - began < 100


def test_a_decoder_that_hangs_is_ended_and_the_next_frame_is_read_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "video.mp4", 64)
    video = SandboxedVideoReader(path, scan(path).times)
    assert video.image(0)
    child = video._child
    assert child
    subprocess.run(["kill", "-STOP", str(child.pid)], check=True)
    monkeypatch.setattr(sandbox, "FRAME_SECONDS", 0.5)
    with pytest.raises(UnreadableMedia, match="limits of memory and time"):
        video.image(4)
    assert child.poll() is not None
    monkeypatch.undo()
    assert video.image(4)
    video.close()


def test_the_pixels_of_all_frames_together_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "video.mp4", 64)
    monkeypatch.setattr(scan_module, "MOST_PIXELS", 5 * 64 * 64)
    with pytest.raises(UnreadableMedia, match="gigapixels together"):
        scan(path)
    monkeypatch.setattr(scan_module, "FRAME_PIXELS", 63 * 63)
    with pytest.raises(UnreadableMedia, match="scale it down"):
        scan(path)


def test_a_decoder_does_not_see_the_secrets_of_the_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_STORAGE_SECRET_KEY", "secret")
    assert "DASHBOARD_STORAGE_SECRET_KEY" in os.environ
    assert not [name for name in sandbox.sandbox_environment() if name.startswith("DASHBOARD_")]
