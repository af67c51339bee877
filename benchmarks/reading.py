"""Measure what it costs to notice damaged images: ``python -m benchmarks.reading [VIDEO]``.

Reads a video, an RTSP stream of 25 frames per second and JPEG files as the camera does, and beside it as OpenCV alone
does, which hides damage. The two take turns, so that the ratio holds on a busy machine too. The video, MPEG-4 or H.264
without B frames, is streamed too; without one, it is drawn.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from services.camera.sources.captured_image import CapturedImage
from services.camera.sources.opencv_stream import OpenCvStream
from services.camera.sources.video_file import VideoFile
from shared.imaging.codec import decode, encode
from tests.rtsp_camera import RtspCamera

SIZE = (1920, 1080)
FRAMES = 200
MOTION_JPEG_FRAMES = 80
STREAMED = 100
TURNS = 5


def scene(number: int) -> cv2.typing.MatLike:
    """Return an image with texture in which something moves."""
    grain = np.random.default_rng(7).integers(60, 120, (SIZE[1] // 4, SIZE[0] // 4, 3)).astype(np.uint8)
    image = cv2.resize(grain, SIZE, interpolation=cv2.INTER_NEAREST)
    cv2.circle(image, (100 + 8 * number % (SIZE[0] - 200), SIZE[1] // 2), 90, (240, 240, 240), -1)
    return image


def write(path: Path, frames: int, codec: str = "mp4v") -> Path:
    """Draw a video."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, SIZE)
    for number in range(frames):
        writer.write(scene(number))
    writer.release()
    return path


def read_plainly(source: str, frames: int) -> int:
    """Read with OpenCV alone, and return how many frames came."""
    capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    count = 0
    while count < frames and capture.read()[0]:
        count += 1
    capture.release()
    return count


def read_video(source: str, frames: int) -> int:
    """Read as the camera does, and return how many images were readable."""
    images = islice(VideoFile.of_file(Path(source), 25).images(), frames)
    return sum(isinstance(read(), CapturedImage) for _, read in images if callable(read))


def read_stream(source: str, frames: int) -> int:
    """Read a live camera as the camera service does, and return how many images were readable."""
    stream = OpenCvStream(source, "the camera", silence_seconds=4)
    count = sum(isinstance(read(), CapturedImage) for read in islice(stream.images(), frames) if callable(read))
    stream.close()
    return count


def compare(title: str, before: Callable[[], int], after: Callable[[], int]) -> None:
    """Run both in turns, and print frames per second, processor time per frame, and the ratio."""
    seconds: dict[str, list[float]] = {"OpenCV alone": [], "the camera": []}
    processor: dict[str, list[float]] = {name: [] for name in seconds}
    for _ in range(TURNS):
        for name, run in zip(seconds, (before, after), strict=True):
            began, cpu = time.perf_counter(), time.process_time()
            frames = run()
            seconds[name].append((time.perf_counter() - began) / frames)
            processor[name].append((time.process_time() - cpu) / frames)
    print(f"\n{title}")
    for name, measured in seconds.items():
        rate, cpu = 1 / median(measured), median(processor[name]) * 1000
        print(f"  {name:<14} {rate:8.1f} frames/s {cpu:8.2f} ms of processor time per frame")
    ratio = median(seconds["OpenCV alone"]) / median(seconds["the camera"])
    spent = median(processor["the camera"]) / median(processor["OpenCV alone"])
    print(f"  ratio          {ratio:8.2f} x the frames/s {spent:6.2f} x the processor time")


def main() -> None:
    """Compare videos, a stream and JPEG files."""
    with tempfile.TemporaryDirectory() as folder:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
        video = given or write(Path(folder) / "video.mp4", FRAMES)
        what = given.name if given else "MPEG-4, 1080p"
        compare(
            f"a video ({what}), {FRAMES} frames",
            lambda: read_plainly(str(video), FRAMES),
            lambda: read_video(str(video), FRAMES),
        )
        images = write(Path(folder) / "video.avi", MOTION_JPEG_FRAMES, "MJPG")
        compare(
            f"a video (motion JPEG, 1080p), {MOTION_JPEG_FRAMES} frames",
            lambda: read_plainly(str(images), MOTION_JPEG_FRAMES),
            lambda: read_video(str(images), MOTION_JPEG_FRAMES),
        )
        with RtspCamera(given or write(Path(folder) / "stream.mp4", 50)) as camera:
            address = camera.address.replace("admin:hunter2@", "")
            compare(
                f"an RTSP stream ({what}) of 25 frames/s, {STREAMED} frames (the sender included)",
                lambda: read_plainly(address, STREAMED),
                lambda: read_stream(address, STREAMED),
            )
    files = [encode(np.asarray(scene(number), np.uint8), "jpeg") for number in range(20)]
    compare(
        "JPEG files of 1080p",
        lambda: sum(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) is not None for file in files),
        lambda: sum(decode(file) is not None for file in files),
    )


if __name__ == "__main__":
    main()
