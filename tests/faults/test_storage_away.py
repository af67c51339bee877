"""Object storage that is stopped, silent, or locked."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from shared.settings import ServiceSettings
from shared.storage import open_store
from shared.storage.minio import MinioStore
from shared.storage.port import ObjectStore, StorageRefusedLogin, StorageUnavailable
from tests.contract.conftest import ACCESS_KEY, SECRET_KEY, S3Server


def settings_of(address: str, secret_key: str = SECRET_KEY, access_key: str = ACCESS_KEY) -> ServiceSettings:
    return ServiceSettings(
        storage_url=f"s3://{address}/pictures",
        storage_access_key=access_key,
        storage_secret_key=secret_key,
    )


def every_call_is_refused_in_time(store: ObjectStore, seconds: float = 5) -> None:
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


def test_the_same_store_works_again_when_the_server_is_back(s3_server: S3Server) -> None:
    store = open_store(settings_of(s3_server.address))
    store.put("before", b"before")
    s3_server.stop()
    every_call_is_refused_in_time(store)
    s3_server.start()
    assert store.get("before") == b"before"
    store.put("after", b"after")
    assert list(store.keys("")) == ["after", "before"]


def test_a_service_starts_while_the_server_is_away(s3_server: S3Server) -> None:
    s3_server.stop()
    store = open_store(settings_of(s3_server.address))
    s3_server.start()
    store.put("key", b"x")
    assert store.get("key") == b"x"


def test_a_server_that_accepts_and_never_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.storage.minio.READ_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        store = MinioStore(f"127.0.0.1:{silent.getsockname()[1]}", "pictures", "key", "a-secret", secure=False)
        every_call_is_refused_in_time(store)


@pytest.mark.parametrize(("access_key", "secret_key"), [(ACCESS_KEY, "wrong-secret"), ("stranger", SECRET_KEY)])
def test_wrong_keys_are_told_in_one_line_without_the_secret(
    s3_server: S3Server,
    access_key: str,
    secret_key: str,
) -> None:
    with pytest.raises(StorageRefusedLogin) as refusal:
        open_store(settings_of(s3_server.address, secret_key, access_key))
    store = MinioStore(s3_server.address, "pictures", access_key, secret_key, secure=False)
    for call in (lambda: store.put("key", b"x"), lambda: store.get("key"), lambda: list(store.keys(""))):
        with pytest.raises(StorageRefusedLogin) as said:
            call()
        assert said.value.__suppress_context__
        assert "\n" not in str(said.value)
        assert secret_key not in str(said.value)
    assert secret_key not in str(refusal.value)


def test_a_bucket_that_was_removed_is_made_again_by_a_put(s3_server: S3Server, tmp_path: Path) -> None:
    store = open_store(settings_of(s3_server.address))
    (s3_server.folder / "pictures").rmdir()
    s3_server.stop()  # rclone remembers folders
    s3_server.start()
    assert not store.exists("key")
    assert list(store.keys("")) == []
    store.delete("key")
    store.put("key", b"x")
    assert store.get("key") == b"x"
