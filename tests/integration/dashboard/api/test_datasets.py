"""Datasets: their versions with their counts."""

from __future__ import annotations

import httpx

from shared.contracts.dataset import LabelledImage, make_version, write_version
from shared.storage.port import ObjectStore
from tests.dashboards import problem


def put_version(
    store: ObjectStore,
    number: int,
    *labels: tuple[bool, bool],
    own_groups: bool = False,
    name: str = "seam",
    label_names: tuple[str, str] = ("good", "break"),
) -> str:
    images = [
        LabelledImage(
            name=f"{row}.png",
            digest="0" * 64,
            labels=truth,
            group=f"{row}.png" if own_groups else "part-1",
            table="labels.csv",
        )
        for row, truth in enumerate(labels)
    ]
    version = make_version(name, number, label_names, images, by="eva", source="a folder")
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


def test_the_form_of_a_training_warns_of_too_few_groups_and_of_images_that_are_all_groups_of_their_own(
    client: httpx.Client, store: ObjectStore
) -> None:
    def warnings(reference: str) -> str:
        return client.get("/trainings/new", params={"dataset": reference}, headers={"accept": "text/html"}).text

    one_group = warnings(put_version(store, 1, (True, False), (False, True)))
    assert "▲ The images are of 1 group: what a network learns from them" in one_group
    own_groups = warnings(put_version(store, 2, *[(True, False), (False, True)] * 2, own_groups=True))
    assert "▲ Each image is a group of its own." in own_groups
    assert "The images are of" not in own_groups


def test_the_form_of_a_training_has_the_dataset_with_the_labels_of_its_recipe(
    client: httpx.Client, store: ObjectStore
) -> None:
    put_version(store, 1, (True, False))
    put_version(store, 1, (True, False), name="fruit", label_names=("apple", "orange"))
    labels = "{apple: {colour: green, role: attribute}, orange: {colour: blue, role: attribute}}"
    recipe = {"replaces": 0, "recipe_yaml": f"name: fruit\ntask: exclusive\nlabels: {labels}\n"}
    assert client.put("/api/recipes/fruit", json=recipe).status_code == 200
    page = client.get("/trainings/new", params={"recipe": "fruit"}, headers={"accept": "text/html"}).text
    assert '<option value="fruit" selected>' in page
