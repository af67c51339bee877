"""The promises of an object store, over a folder and over an S3 server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from shared.settings import ServiceSettings
from shared.storage.opening import open_store
from shared.storage.port import InvalidKey, ObjectNotFound, ObjectStore, ObjectTooLarge
from tests.conftest import Bucket


@pytest.fixture(params=["filesystem", "s3"])
def open_it(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], ObjectStore]:
    """Return a function that opens the same storage with each call, as several services do."""
    if request.param == "filesystem":
        settings = ServiceSettings(storage_url=f"file:///{tmp_path}/objects")
    else:
        bucket: Bucket = request.getfixturevalue("s3")
        settings = ServiceSettings(
            storage_url=bucket.url, storage_access_key=bucket.access_key, storage_secret_key=bucket.secret_key
        )
    return lambda: open_store(settings)


@pytest.fixture
def store(open_it: Callable[[], ObjectStore]) -> ObjectStore:
    return open_it()


def test_an_object_is_read_as_it_was_written(store: ObjectStore) -> None:
    content = bytes(range(256)) * 4096
    store.put("frames/line-1/2026-01-31/image.jpg", content, "image/jpeg")
    assert store.get("frames/line-1/2026-01-31/image.jpg") == content
    assert store.exists("frames/line-1/2026-01-31/image.jpg")


def test_an_object_may_be_empty(store: ObjectStore) -> None:
    store.put("nothing", b"")
    assert store.get("nothing") == b""
    assert store.exists("nothing")


def test_a_put_replaces_the_object(store: ObjectStore) -> None:
    store.put("model", b"the longer first one")
    store.put("model", b"second")
    assert store.get("model") == b"second"


def test_an_object_of_more_bytes_than_its_reader_takes_is_not_read(store: ObjectStore) -> None:
    store.put("large", bytes(3_000_000))
    assert len(store.get("large", 3_000_000)) == 3_000_000
    for _ in range(3):
        with pytest.raises(ObjectTooLarge, match="3,000,000 bytes, and the limit is 2,999,999"):
            store.get("large", 2_999_999)
    assert len(store.get("large")) == 3_000_000


def test_a_missing_object_is_not_found(store: ObjectStore) -> None:
    store.put("folder/object", b"x")
    for key in ("object", "folder", "folder/objec", "other/object"):
        with pytest.raises(ObjectNotFound, match=key):
            store.get(key)
        assert not store.exists(key)


def test_a_deleted_object_is_gone_and_its_neighbour_stays(store: ObjectStore) -> None:
    store.put("folder/one", b"1")
    store.put("folder/two", b"2")
    store.delete("folder/one")
    assert list(store.keys("")) == ["folder/two"]
    with pytest.raises(ObjectNotFound):
        store.get("folder/one")


def test_deleting_nothing_is_no_error(store: ObjectStore) -> None:
    store.delete("folder/never-there")
    store.put("folder/there", b"x")
    store.delete("folder/there")
    store.delete("folder/there")
    assert list(store.keys("")) == []


def test_keys_come_in_the_order_of_their_bytes(store: ObjectStore) -> None:
    keys = ["a-b/z", "a.b", "a/B", "a/b.c/d", "a/b/c", "a0", "ab", "b/10", "b/9"]
    for key in reversed(keys):
        store.put(key, b"x")
    assert list(store.keys("")) == keys


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("models/", ["models/fabric/1", "models/fabric-2/1"]),
        ("models/fabric/", ["models/fabric/1"]),
        ("models/fab", ["models/fabric/1", "models/fabric-2/1"]),
        ("models/fabric/1", ["models/fabric/1"]),
        ("models/fabric/1/", []),
        ("m", ["models/fabric/1", "models/fabric-2/1"]),
        ("nowhere/", []),
    ],
)
def test_keys_are_those_that_start_with_the_prefix(store: ObjectStore, prefix: str, found: list[str]) -> None:
    for key in ("frames/1", "models/fabric/1", "models/fabric-2/1"):
        store.put(key, b"x")
    assert list(store.keys(prefix)) == sorted(found)


def test_a_listing_of_objects_has_their_sizes_and_times(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # some servers store whole seconds
    for key, size in (("frames/a/1", 10), ("frames/b", 0), ("models/c", 5)):
        store.put(key, bytes(size))
    found = list(store.objects("frames/"))
    assert [(each.key, each.size) for each in found] == [("frames/a/1", 10), ("frames/b", 0)]
    assert all(before <= each.stored_at <= datetime.now(UTC) + timedelta(seconds=2) for each in found)


def test_a_listing_is_longer_than_a_page_of_the_server(store: ObjectStore) -> None:
    keys = [f"many/{number:05d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert list(store.keys("many/")) == keys


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../../b", "a/./b", ".hidden", "a b", "a\n", "ä", "\0"]
)
def test_a_key_that_would_mean_something_else_is_refused(store: ObjectStore, key: str) -> None:
    for use in (store.get, store.exists, store.delete, lambda key: store.put(key, b"x")):
        with pytest.raises(InvalidKey):
            use(key)


@pytest.mark.parametrize("prefix", ["../", "/", "a/../..", "a//"])
def test_a_prefix_of_no_key_is_refused(store: ObjectStore, prefix: str) -> None:
    for listing in (store.keys, store.objects):
        with pytest.raises(InvalidKey):
            list(listing(prefix))


def test_two_services_open_a_new_storage_at_once(open_it: Callable[[], ObjectStore]) -> None:
    def open_and_put(number: int) -> None:
        open_it().put(f"frames/{number}", b"x")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_and_put, range(6)))
    assert list(open_it().keys("frames/")) == [f"frames/{number}" for number in range(6)]


def test_many_threads_of_one_service_ask_at_once_and_no_connection_is_thrown_away(
    store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("frames/image", b"x" * 10_000)
    threads = 48
    together = Barrier(threads)

    def get_twice(_number: int) -> None:
        for _ in range(2):
            together.wait(120)
            store.get("frames/image")

    with caplog.at_level("WARNING"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(get_twice, range(threads)))
    assert "pool is full" not in caplog.text


def test_deleting_and_putting_side_by_side_loses_no_put(store: ObjectStore) -> None:
    def put_and_delete(number: int) -> None:
        for turn in range(25):
            store.put(f"shared/folder/{number}-{turn}", b"x")
            store.delete(f"shared/folder/{number}-{turn}")
        store.put(f"shared/folder/{number}", b"x")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put_and_delete, range(4)))
    # a server may list what it has just deleted for a moment longer
    assert {f"shared/folder/{number}" for number in range(4)} <= set(store.keys(""))


def test_of_several_creators_of_an_object_one_succeeds(open_it: Callable[[], ObjectStore]) -> None:
    stores = [open_it() for _ in range(4)]
    together = Barrier(len(stores))

    def create(number: int) -> bool:
        together.wait(60)
        return stores[number].create("claim", f"by {number}".encode())

    with ThreadPoolExecutor(len(stores)) as threads:
        created = list(threads.map(create, range(len(stores))))
    assert created.count(True) == 1
    winner = created.index(True)
    assert stores[0].get("claim") == f"by {winner}".encode()
    assert not stores[winner - 1].create("claim", b"later")
    assert stores[winner].create("claim", f"by {winner}".encode()), "the same call again"
