"""Videos of strangers are decoded in processes of their own, with limits on memory and time, and without our secrets.

``python -m services.dashboard.labelling.videos.sandbox look FILE`` says what is in a video; ``… frames FILE`` gives
images of a video by their numbers. The decoders are large and read files of strangers: an exploit stays in here.
"""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import cv2
from pydantic import TypeAdapter

from services.dashboard.labelling.videos.inspection import Content, look_through
from services.dashboard.labelling.videos.reader import UnreadableVideo, VideoReader

MEMORY_BYTES: Final = 2 * 1024**3
"""Of addresses; half a gibibyte of them is Python with its libraries."""
LOOK_SECONDS: Final = 900
"""To read a video from beginning to end."""
IMAGE_SECONDS: Final = 60.0
"""To find one image."""
HEADER: Final = 12
"""Bytes before an image: how long it is, or what is wrong."""
ROOT: Final = Path(__file__).parents[4]
ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FFMPEG_THREADS": "2",
}
PASSED_ON: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "OPENCV_IO_MAX_IMAGE_PIXELS")
TOO_MUCH: Final = (
    "it can't be read within the limits of memory and time: make it smaller, or cut it into several videos"
)


def look_through_apart(path: Path, memory_bytes: int = MEMORY_BYTES, seconds: float = LOOK_SECONDS) -> Content:
    """See `look_through`; in a process that may take so much memory and time, and no more.

    Raises:
        UnreadableVideo: it is none that can be read, or takes too much.
    """
    try:
        command = _command("look", path, memory_bytes)
        ended = subprocess.run(  # noqa: S603  our own module
            command, check=False, env=_environment(), cwd=ROOT, capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableVideo(TOO_MUCH) from error
    try:
        told: dict[str, Any] = json.loads(ended.stdout)
    except ValueError as error:
        raise UnreadableVideo(TOO_MUCH) from error
    if "wrong" in told:
        raise UnreadableVideo(told["wrong"])
    return TypeAdapter(Content).validate_python(told)


class VideoApart:
    """See `reels.Reel`: a video file, decoded by a process of its own. Several threads may ask; they take turns."""

    def __init__(self, path: Path, times: Sequence[float]) -> None:
        self._path = path
        self._times = list(times)
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def image(self, number: int) -> bytes:
        """An image as JPEG.

        Raises:
            UnreadableVideo: it can't be had, or takes too much.
            ValueError: the video was closed.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the video was closed")
            try:
                return self._ask(number)
            except (OSError, EOFError, TimeoutError) as error:
                self._end()
                raise UnreadableVideo(f"image {number} of the video can't be read: {TOO_MUCH}") from error

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._closed = True
            self._end()

    def _ask(self, number: int) -> bytes:
        until = time.monotonic() + IMAGE_SECONDS
        child = self._child = self._child or self._start()
        if child.stdin is None or child.stdout is None:
            raise EOFError
        child.stdin.write(f"{number}\n".encode())
        child.stdin.flush()
        size = int(_read(child.stdout, HEADER, until))
        content = _read(child.stdout, abs(size), until)
        if size < 0:
            raise UnreadableVideo(content.decode())
        return content

    def _start(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(  # noqa: S603  our own module
            _command("frames", self._path),
            env=_environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if child.stdin:
            child.stdin.write(json.dumps(self._times).encode() + b"\n")
        return child

    def _end(self) -> None:
        if child := self._child:
            self._child = None
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with suppress(OSError):
                    if pipe:
                        pipe.close()


def _read(pipe: IO[bytes], size: int, until: float) -> bytes:
    """So many bytes, before a deadline; nothing else reads from the pipe."""
    content = b""
    while len(content) < size:
        if not select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError
        chunk = os.read(pipe.fileno(), size - len(content))
        if not chunk:
            raise EOFError
        content += chunk
    return content


def _command(what: str, path: Path, memory_bytes: int = MEMORY_BYTES) -> list[str]:
    return [
        sys.executable,
        "-m",
        "services.dashboard.labelling.videos.sandbox",
        what,
        str(path.absolute()),
        str(memory_bytes),
    ]


def _environment() -> dict[str, str]:
    return ENVIRONMENT | {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _look(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LOOK_SECONDS, LOOK_SECONDS))
    try:
        told = asdict(look_through(path))
    except UnreadableVideo as error:
        told = {"wrong": str(error)}
    except (MemoryError, cv2.error):
        told = {"wrong": TOO_MUCH}
    sys.stdout.write(json.dumps(told))


def _frames(path: Path) -> None:
    video = VideoReader(path, json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        try:
            content, sign = video.image(int(line)), 1
        except UnreadableVideo as error:
            content, sign = str(error).encode(), -1
        sys.stdout.buffer.write(f"{sign * len(content):{HEADER}d}".encode() + content)
        sys.stdout.buffer.flush()


def main() -> None:
    """What the module is run for."""
    what, path, memory_bytes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    cv2.setNumThreads(1)
    {"look": _look, "frames": _frames}[what](path)


if __name__ == "__main__":
    main()
