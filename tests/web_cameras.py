"""Web servers on loopback that answer as cameras do, with the oddities of real ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Self

from shared.imaging.codec import encode
from tests.camera_videos import image_of

Answer = Callable[[BaseHTTPRequestHandler], None]


class WebCamera:
    """Answers every request in the way that it was given."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.visits = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="web camera", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def address(self, path: str = "video", login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self._server.server_port}/{path}"

    def _handler(camera) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.visits += 1
                try:
                    camera.answer(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Not in the tests' output."""

        return Handler


def jpeg(number: int) -> bytes:
    return encode(image_of(number), "jpeg")


def numbered() -> Iterable[bytes]:
    return (jpeg(number) for number in count())


def multipart(
    parts: Callable[[], Iterable[bytes]] = numbered,
    *,
    content_type: str | None = "multipart/x-mixed-replace; boundary=frame",
    delimiter: str = "--frame",
    lengths: bool = True,
    first_delimiter: bool = True,
    pause: float = 0.02,
) -> Answer:
    """Motion JPEG of these parts."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if content_type:
            handler.send_header("Content-Type", content_type)
        handler.end_headers()
        for number, content in enumerate(parts()):
            head = f"{delimiter}\r\n" if number or first_delimiter else ""
            head += "Content-Type: image/jpeg\r\n" + (f"Content-Length: {len(content)}\r\n" if lengths else "")
            handler.wfile.write(f"{head}\r\n".encode() + content + b"\r\n")
            time.sleep(pause)

    return answer


def content(body: bytes, content_type: str, status: int = 200, *, length: bool = True) -> Answer:
    """One body, as a web server sends a file; without its length, as an encoder sends a stream."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        if length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer
