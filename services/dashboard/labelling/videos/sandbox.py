"""Decode uploaded videos in a child process with limits on memory and time, and without this service's secrets.

``python -m services.dashboard.labelling.videos.sandbox scan FILE`` prints what is in a video; ``… frames FILE`` returns
frames by their numbers. Video decoders are large, and an uploaded file may exploit them: the exploit stays in there.
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
from typing import IO, Any, Final, cast

import cv2
from pydantic import TypeAdapter

from services.dashboard.labelling.videos.reader import VideoReader
from services.dashboard.labelling.videos.scan import VideoContent, scan
from shared.imaging.video import UnreadableMedia

MEMORY_BYTES: Final = 2 * 1024**3
"""Most bytes of the address space of the process; Python and its libraries take half a gibibyte of it."""
SCAN_SECONDS: Final = 900
"""Most seconds to read a video from beginning to end."""
FRAME_SECONDS: Final = 60.0
"""Most seconds to read one frame."""
HEADER: Final = 12
"""Bytes before an image: its length, or the negative length of an error text."""
ROOT: Final = Path(__file__).parents[4]
ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FFMPEG_THREADS": "2",
}
INHERITED: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "OPENCV_IO_MAX_IMAGE_PIXELS")
TOO_LARGE: Final = (
    "it can't be read within the limits of memory and time: make it smaller, or cut it into several videos"
)


def scan_in_sandbox(path: Path, memory_bytes: int = MEMORY_BYTES, seconds: float = SCAN_SECONDS) -> VideoContent:
    """Scan a file as `scan` does, in a process with these limits.

    Raises:
        UnreadableMedia: the file can't be read, or exceeds the limits.
    """
    try:
        command = _command("scan", path, memory_bytes)
        ended = subprocess.run(  # noqa: S603  our own module
            command, check=False, env=sandbox_environment(), cwd=ROOT, capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableMedia(TOO_LARGE) from error
    try:
        answer: dict[str, Any] = json.loads(ended.stdout)
    except ValueError as error:
        raise UnreadableMedia(TOO_LARGE) from error
    if "error" in answer:
        raise UnreadableMedia(answer["error"])
    return TypeAdapter(VideoContent).validate_python(answer)


class SandboxedVideoReader:
    """Reads a video file in a child process; see `FrameReader`. Thread-safe: one thread reads at a time."""

    def __init__(self, path: Path, times: Sequence[float]) -> None:
        self._path = path
        self._times = list(times)
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def image(self, number: int) -> bytes:
        """Return a frame as a JPEG file.

        Raises:
            UnreadableMedia: the frame can't be read, or exceeds the limits.
            ValueError: the video was closed.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the video was closed")
            try:
                deadline = time.monotonic() + FRAME_SECONDS
                child = self._child = self._child or self._start_child()
                numbers, images = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)
                numbers.write(f"{number}\n".encode())
                numbers.flush()
                size = int(_read(images, HEADER, deadline))
                content = _read(images, abs(size), deadline)
            except (OSError, EOFError, TimeoutError) as error:
                self._end_child()
                raise UnreadableMedia(f"frame {number} of the video can't be read: {TOO_LARGE}") from error
        if size < 0:
            raise UnreadableMedia(content.decode())
        return content

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._closed = True
            self._end_child()

    def _start_child(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(  # noqa: S603  our own module
            _command("frames", self._path, MEMORY_BYTES),
            env=sandbox_environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if child.stdin:
            child.stdin.write(json.dumps(self._times).encode() + b"\n")
        return child

    def _end_child(self) -> None:
        if child := self._child:
            self._child = None
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with suppress(OSError):
                    if pipe:
                        pipe.close()


def _read(pipe: IO[bytes], size: int, deadline: float) -> bytes:
    """Read ``size`` bytes of a pipe before the deadline, past the pipe's buffer.

    Raises:
        TimeoutError: the bytes did not come before the deadline.
        EOFError: the pipe ended before the last byte.
    """
    content = b""
    while len(content) < size:
        if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        chunk = os.read(pipe.fileno(), size - len(content))
        if not chunk:
            raise EOFError
        content += chunk
    return content


def _command(task: str, path: Path, memory_bytes: int) -> list[str]:
    module = "services.dashboard.labelling.videos.sandbox"
    return [sys.executable, "-m", module, task, str(path.absolute()), str(memory_bytes)]


def sandbox_environment() -> dict[str, str]:
    """Return the environment of a sandboxed process: nothing of this service's settings."""
    return ENVIRONMENT | {name: os.environ[name] for name in INHERITED if name in os.environ}


def print_scan(path: Path) -> None:
    """Print as JSON what is in a video, or why it can't be read."""
    resource.setrlimit(resource.RLIMIT_CPU, (SCAN_SECONDS, SCAN_SECONDS))
    try:
        answer = asdict(scan(path))
    except UnreadableMedia as error:
        answer = {"error": str(error)}
    except (MemoryError, cv2.error):
        answer = {"error": TOO_LARGE}
    sys.stdout.write(json.dumps(answer))


def print_frames(path: Path) -> None:
    """Print a frame of the video for each number on standard input, after its length."""
    video = VideoReader(path, json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        try:
            content, sign = video.image(int(line)), 1
        except UnreadableMedia as error:
            content, sign = str(error).encode(), -1
        sys.stdout.buffer.write(f"{sign * len(content):{HEADER}d}".encode() + content)
        sys.stdout.buffer.flush()


def main() -> None:
    """Limit this process, and run the requested task."""
    task, path, memory_bytes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    cv2.setNumThreads(1)
    {"scan": print_scan, "frames": print_frames}[task](path)


if __name__ == "__main__":
    main()
