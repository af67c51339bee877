"""A stream that FFmpeg decodes."""

from __future__ import annotations

from pathlib import Path

from services.camera.sources.captured_image import Unreadable
from services.camera.sources.opencv_stream import OpenCvStream
from tests.camera_videos import write_interlaced


def test_each_image_of_an_interlaced_stream_is_unreadable(tmp_path: Path) -> None:
    stream = OpenCvStream(str(write_interlaced(tmp_path / "camera.h264", 3)), "the camera", silence_seconds=5)
    readers = stream.images()
    for _ in range(3):
        read = next(readers)
        assert callable(read)
        image = read()
        assert isinstance(image, Unreadable)
        assert "the camera can't be read: its images can't be converted" in image.reason
    stream.close()
