"""The answers of S3 servers."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.storage.s3 import MinioStore

PACKED = gzip.compress(bytes(50_000_000))


class _PackedObject(BaseHTTPRequestHandler):
    """An object with a content encoding, which servers send to every reader."""

    def do_GET(self) -> None:
        content = b"<LocationConstraint/>" if "location" in self.path else PACKED
        self.send_response(200)
        if content is PACKED:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _PackedObject)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_object_that_says_to_be_packed_is_not_unpacked(address: str) -> None:
    store = MinioStore(address, "seamline", "key", "secret key")
    assert store.get("frames/captured.jpg", 100_000) == PACKED
