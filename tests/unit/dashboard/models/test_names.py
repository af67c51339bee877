"""The names of model versions: the latest one holds, and pages stay usable without them."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
from pydantic import TypeAdapter, ValidationError

from services.dashboard.models.names import FOLDER, LONGEST_NAME, VersionName, VersionNames
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable

NAME = TypeAdapter[str](VersionName)


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


def test_the_latest_name_of_a_version_holds_and_an_empty_one_removes_it(store: FilesystemStore) -> None:
    names = VersionNames(store)
    for version, name in (("v1", "first"), ("v2", "spring seams"), ("v1", "winter seams"), ("v2", "")):
        names.give("seam", version, name, by="eva")
    names.give("hem", "v3", "hems", by="eva")
    assert names.of("seam") == VersionNames(store).of("seam") == {"v1": "winter seams"}
    assert names.all() == {"seam/v1": "winter seams", "hem/v3": "hems"}
    assert len(list(store.keys(f"{FOLDER}/seam/"))) == 4, "no change is overwritten"


def test_a_version_of_two_recipes_has_no_name_where_the_recipe_is_unknown(store: FilesystemStore) -> None:
    names = VersionNames(store)
    for recipe, version in (("seam", "v1"), ("hem", "v1"), ("hem", "v2")):
        names.give(recipe, version, f"{version} of {recipe}", by="eva")
    assert names.by_version() == {"v2": "v2 of hem"}


def test_a_name_that_can_not_be_read_is_left_out(store: FilesystemStore) -> None:
    names = VersionNames(store)
    names.give("seam", "v1", "spring seams", by="eva")
    store.put(f"{FOLDER}/seam/v2/damaged.json", b"{")
    assert names.of("seam") == {"v1": "spring seams"}


def test_pages_have_no_names_while_storage_is_away(store: FilesystemStore) -> None:
    with patch.object(store, "keys", side_effect=StorageUnavailable("away")):
        assert VersionNames(store).of("seam") == {}


def test_a_name_is_one_line_of_printable_characters() -> None:
    assert NAME.validate_python("  Frühjahrsnähte,\tneue   Kamera <1> ") == "Frühjahrsnähte, neue Kamera <1>"
    assert NAME.validate_python(" ") == ""
    for refused in ("x" * (LONGEST_NAME + 1), "a\u202egnp.exe", "a\x00b"):
        with pytest.raises(ValidationError):
            NAME.validate_python(refused)
