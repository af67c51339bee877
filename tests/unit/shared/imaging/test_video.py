"""Videos are opened without output, and file names are ordered as people number them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from shared.imaging.video import UnreadableMedia, frame_rate_of, natural_order, open_video, opened_video
from tests.camera_videos import write_video


def test_names_are_ordered_by_the_numbers_in_them() -> None:
    names = ["b10.png", "B2.png", "a.png", "b2.jpg", "2.png", "10.png"]
    assert sorted(names, key=natural_order) == ["2.png", "10.png", "a.png", "b2.jpg", "B2.png", "b10.png"]


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"no video")
    with pytest.raises(UnreadableMedia, match="ffmpeg"):
        open_video(tmp_path / "video.mp4")


def test_a_refused_video_leaves_no_output(tmp_path: Path) -> None:
    """In a process of its own: FFmpeg reads its log level when the first video of a process is opened."""
    (tmp_path / "video.mp4").write_bytes(b"no video")
    code = (
        "import contextlib, sys; from shared.imaging.video import UnreadableMedia, open_video\n"
        "with contextlib.suppress(UnreadableMedia): open_video(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "video.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_video_is_open_while_the_block_runs(tmp_path: Path) -> None:
    with opened_video(write_video(tmp_path / "video.mp4", 3)) as capture:
        assert capture.grab()
    assert not capture.isOpened()


@pytest.mark.parametrize(("claimed", "rate"), [(25.0, 25.0), (0.0, 10.0), (90_000.0, 10.0), (float("nan"), 10.0)])
def test_a_frame_rate_that_can_not_be_true_is_replaced_by_the_default(
    claimed: float, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2.VideoCapture, "get", lambda _self, _prop: claimed, raising=True)
    assert frame_rate_of(cv2.VideoCapture(), default=10.0) == rate
