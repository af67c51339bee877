"""A network camera on loopback: motion JPEG over HTTP, which drops the connection when a test says so."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shared.imaging.codec import encode
from tests.camera_videos import image_of


class MjpegCamera:
    """Sends numbered images to every client, without end."""

    def __init__(self, images_per_second: float = 50) -> None:
        self.next_number = 0
        self.dropping = threading.Event()
        self.visits = 0
        self._pause = 1 / images_per_second
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="camera", daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://user:hunter2@127.0.0.1:{self._server.server_port}/video.mjpg?token=hunter2"

    def close(self) -> None:
        self.dropping.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(camera) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.visits += 1
                if camera.dropping.is_set():
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                while not camera.dropping.is_set():
                    content = encode(image_of(camera.next_number), "jpeg")
                    camera.next_number += 1
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + content + b"\r\n")
                    except OSError:
                        return
                    time.sleep(camera._pause)

            def log_message(self, format: str, *args: object) -> None:
                """Not in the tests' output."""

        return Handler
