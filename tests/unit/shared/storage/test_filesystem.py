"""Errors that occur in a folder and not in a bucket."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.settings import ServiceSettings
from shared.storage.filesystem import FilesystemStore
from shared.storage.opening import open_store
from shared.storage.port import InvalidKey, ObjectNotFound, StorageError, StorageUnavailable


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_half_written_file_of_a_crash_is_no_object(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put("folder/whole", b"x")
    (tmp_path / "folder" / ".k3j2h1.part").write_bytes(b"half")
    assert list(store.keys("")) == ["folder/whole"]


def test_a_put_that_fails_leaves_the_old_content_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemStore(tmp_path)
    store.put("folder/object", b"old")

    def disk_full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(StorageUnavailable, match="No space left"):
        store.put("folder/object", b"new")
    assert store.get("folder/object") == b"old"
    assert names_in(tmp_path / "folder") == ["object"]


def test_a_reader_sees_the_old_content_or_the_new_and_never_a_part(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    contents = [bytes([number]) * 200_000 for number in range(20)]
    store.put("pointer", contents[0])
    with ThreadPoolExecutor(1) as pool:
        writing = [pool.submit(store.put, "pointer", content) for content in contents]
        while not writing[-1].done():
            assert store.get("pointer") in contents


def test_a_symbolic_link_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store = FilesystemStore(tmp_path / "objects")
    store.put("object", b"x")
    (tmp_path / "objects" / "link").symlink_to(outside / "secret")
    (tmp_path / "objects" / "folder").symlink_to(outside)
    with pytest.raises(ObjectNotFound):
        store.get("link")
    with pytest.raises(InvalidKey, match="symbolic link"):
        store.get("folder/secret")
    with pytest.raises(InvalidKey, match="symbolic link"):
        store.put("folder/new", b"x")
    assert list(store.keys("")) == ["object"]
    assert names_in(outside) == ["secret"]


def test_the_storage_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "objects").symlink_to(tmp_path / "disk")
    store = FilesystemStore(tmp_path / "objects")
    store.put("a/b", b"x")
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"x"


def test_an_object_in_the_way_of_a_folder_is_said_so(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put("model", b"x")
    with pytest.raises(InvalidKey, match="a file has the name of a needed folder"):
        store.put("model/weights", b"x")


def test_an_emptied_folder_goes_with_its_last_object(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put("frames/line/day/frame/image.jpg", b"x")
    store.put("frames/other", b"x")
    store.delete("frames/line/day/frame/image.jpg")
    assert names_in(tmp_path / "frames") == ["other"]


def test_three_slashes_are_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store(ServiceSettings(storage_url="file:///var/objects")).put("key", b"x")
    assert (tmp_path / "var" / "objects" / "key").read_bytes() == b"x"


@pytest.mark.parametrize("url", ["file://objects", "file:///", "s3://host:9000", "s3://host:9000/one/two", "s3://h/B_"])
def test_an_incomplete_address_is_refused_in_one_line(url: str) -> None:
    settings = ServiceSettings(storage_url=url, storage_access_key="key", storage_secret_key="a-secret")
    with pytest.raises(StorageError) as refusal:
        open_store(settings)
    assert "\n" not in str(refusal.value)
    assert "a-secret" not in str(refusal.value)


def test_a_folder_that_cant_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        FilesystemStore(tmp_path / "file" / "objects")
