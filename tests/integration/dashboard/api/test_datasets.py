"""Datasets: their versions with their counts."""

from __future__ import annotations

import httpx

from shared.contracts.dataset import LabelledImage, make_version, write_version
from shared.storage.port import ObjectStore
from tests.dashboards import problem


def put_version(store: ObjectStore, number: int, *labels: tuple[bool, bool]) -> str:
    images = [
        LabelledImage(name=f"{row}.png", digest="0" * 64, labels=truth, group="part-1", table="labels.csv")
        for row, truth in enumerate(labels)
    ]
    version = make_version("seam", number, ("good", "break"), images, by="eva", source="a folder")
    write_version(store, version)
    return version.reference


def test_the_versions_of_a_dataset_are_listed_with_counts_per_label(client: httpx.Client, store: ObjectStore) -> None:
    assert client.get("/api/datasets").json() == {"datasets": [], "next": None}
    first = put_version(store, 1, (True, False))
    second = put_version(store, 2, (True, False), (False, True), (True, False))
    assert client.get("/api/datasets").json() == {"datasets": ["seam"], "next": None}
    versions = client.get("/api/datasets/seam").json()["versions"]
    assert [version["reference"] for version in versions] == [second, first]
    assert (versions[0]["images"], versions[0]["groups"], versions[0]["made_by"]) == (3, 1, "eva")
    assert versions[0]["labels"] == {"good": 2, "break": 1}
    assert [version["unlearnable"] for version in versions] == [[], ["good", "break"]]
    page = client.get("/trainings/new", headers={"accept": "text/html"}).text
    assert "▲ nothing to learn about good, break" in page
    problem(client.get("/api/datasets/hem"), 404, "GET /api/datasets lists them")


def test_a_restored_version_is_listed_again(client: httpx.Client, store: ObjectStore) -> None:
    reference = put_version(store, 1, (True, False))
    (key,) = (key for key in store.keys("datasets/seam/") if key.endswith(".json"))
    whole = store.get(key)
    store.put(key, b"damaged")
    assert client.get("/api/datasets/seam").json() == {"versions": [], "next": None}
    store.put(key, whole)
    assert [version["reference"] for version in client.get("/api/datasets/seam").json()["versions"]] == [reference]
