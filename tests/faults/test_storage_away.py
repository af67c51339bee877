"""Object storage that is stopped, silent, or locked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from minio import Minio

from shared.settings import ServiceSettings
from shared.storage.opening import open_store
from shared.storage.port import ObjectNotFound, ObjectStore, StorageRefusedLogin, StorageUnavailable
from shared.storage.s3 import MinioStore
from tests.conftest import Bucket
from tests.processes import Server
from tests.servers import Endpoint, start_s3


def settings_of(endpoint: Endpoint, bucket: str = "images") -> ServiceSettings:
    return ServiceSettings(
        storage_url=f"s3://{endpoint.host}:{endpoint.port}/{bucket}",
        storage_access_key=endpoint.user,
        storage_secret_key=endpoint.password,
    )


@pytest.fixture
def private_s3(tmp_path: Path) -> Iterator[tuple[Endpoint, Server]]:
    """An S3 server of the test's own, which it may stop."""
    endpoint, server = start_s3(tmp_path / "s3")
    yield endpoint, server
    server.remove()


def every_call_is_refused_in_time(store: ObjectStore, seconds: float = 100) -> None:
    for call in (
        lambda: store.put("key", b"x"),
        lambda: store.get("key"),
        lambda: store.exists("key"),
        lambda: list(store.keys("")),
        lambda: store.delete("key"),
    ):
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            call()
        assert time.monotonic() - began < seconds


def test_the_same_store_works_again_when_the_server_is_back(private_s3: tuple[Endpoint, Server]) -> None:
    endpoint, server = private_s3
    store = open_store(settings_of(endpoint))
    store.put("before", b"before")
    server.stop()
    every_call_is_refused_in_time(store)
    server.start()
    assert store.get("before") == b"before"
    store.put("after", b"after")
    assert list(store.keys("")) == ["after", "before"]


def test_a_service_starts_while_the_server_is_away(private_s3: tuple[Endpoint, Server]) -> None:
    endpoint, server = private_s3
    server.stop()
    store = open_store(settings_of(endpoint))
    server.start()
    store.put("key", b"x")
    assert store.get("key") == b"x"


def test_a_server_that_accepts_and_never_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.storage.s3.QUIET_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        store = MinioStore(f"127.0.0.1:{silent.getsockname()[1]}", "images", "key", "a-secret")
        every_call_is_refused_in_time(store)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n"


@pytest.mark.parametrize(("at_once", "then"), [(b"", HEAD * 100), (HEAD + b"\r\n", b"x" * 1000)], ids=["head", "body"])
def test_a_server_that_trickles_its_answer_is_unavailable_in_time(
    monkeypatch: pytest.MonkeyPatch, at_once: bytes, then: bytes
) -> None:
    monkeypatch.setattr("shared.storage.paced.ALLOWED_SECONDS", 1.0)

    def trickle(client: socket.socket) -> None:
        client.sendall(at_once)
        for byte in then:
            client.sendall(bytes([byte]))
            time.sleep(0.05)

    with _answering(trickle) as address:
        store = MinioStore(address, "images", "key", "a-secret")
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            store.get("key")
        assert time.monotonic() - began < 100


def test_a_large_object_may_take_longer_than_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.storage.paced.ALLOWED_SECONDS", 2)
    content = bytes(16) * 4096

    def slowly(client: socket.socket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {8 * len(content)}\r\n\r\n"
        client.sendall(head.encode())
        for _ in range(8):
            client.sendall(content)
            time.sleep(0.3)

    with _answering(slowly) as address:
        store = MinioStore(address, "images", "key", "a-secret")
        assert store.get("key") == content * 8


@contextmanager
def _answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that answers each request so, and its address. The bucket's region is told at once."""

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            while request := client.recv(65536):
                if b"?location" in request:
                    body = b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                else:
                    answer(client)

    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("wrong", ["access key", "secret key"])
def test_wrong_keys_are_reported_in_one_line_without_the_secret(s3: Bucket, wrong: str) -> None:
    if wrong == "access key":
        endpoint = replace(s3.endpoint, user="stranger")
    else:
        endpoint = replace(s3.endpoint, password="hunter2-is-wrong")
    with pytest.raises(StorageRefusedLogin) as refusal:
        open_store(settings_of(endpoint))
    assert endpoint.password not in str(refusal.value)
    address = f"{endpoint.host}:{endpoint.port}"
    store = MinioStore(address, "images", endpoint.user, endpoint.password)
    for call in (lambda: store.put("key", b"x"), lambda: store.get("key"), lambda: list(store.keys(""))):
        with pytest.raises(StorageRefusedLogin) as said:
            call()
        assert said.value.__suppress_context__, "what the client raises quotes the request"
        assert "\n" not in str(said.value)
        assert endpoint.password not in str(said.value)


def test_a_bucket_that_was_removed_is_made_again_by_a_put(s3: Bucket) -> None:
    store = open_store(settings_of(s3.endpoint, s3.name))
    address = f"{s3.endpoint.host}:{s3.endpoint.port}"
    Minio(address, s3.access_key, s3.secret_key, secure=False).remove_bucket(s3.name)
    assert not store.exists("key")
    assert list(store.keys("")) == []
    store.delete("key")
    with pytest.raises(ObjectNotFound):
        store.get("key")
    store.put("key", b"x")
    assert store.get("key") == b"x"
