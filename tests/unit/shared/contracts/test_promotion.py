"""Promotions in object storage: the last one names the model in production."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.contracts.bundle import versions
from shared.contracts.promotion import Promotion, production_history, production_version, store_promotion
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable


def first_promotion() -> Promotion:
    return Promotion(
        sequence=1,
        recipe="seam",
        version="v1",
        digest="0" * 64,
        previous=None,
        reason="first",
        by="ada",
        at=datetime.now(UTC),
    )


def test_other_objects_beside_the_promotions_are_ignored(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "objects")
    promotion = first_promotion()
    store_promotion(store, promotion)
    for name in ("manifest.json", "recipe.yaml", "00000002.json.orig"):
        store.put(f"models/seam/production/{name}", b"of a model that was called production")
    assert production_history(store, "seam") == [promotion]
    assert production_version(store, "seam") == "v1"
    assert versions(store, "seam") == []


def test_of_two_trainers_that_promote_at_the_same_moment_one_decides_again(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "objects")
    ours = first_promotion()
    store_promotion(store, ours)
    with pytest.raises(StorageUnavailable, match="at the same moment"):
        store_promotion(store, ours.model_copy(update={"version": "v2", "by": "ben"}))
    assert production_history(store, "seam") == [ours]
