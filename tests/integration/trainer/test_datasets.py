"""Dataset versions on a real S3 server, by the commands as people type them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.trainer.cli.commands import app
from shared.contracts.dataset import image_key, read_version, versions
from shared.imaging.codec import encode
from shared.settings import ServiceSettings
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore
from tests.conftest import Bucket
from tests.strokes import write_table

NAMES = ("Naht 1.png", "naht-ö.png", "縫い目.png", "sub/1.png")
"""Names that no key of object storage may have."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, s3: Bucket) -> ObjectStore:
    storage = {"storage_url": s3.url, "storage_access_key": s3.access_key, "storage_secret_key": s3.secret_key}
    for name, value in storage.items():
        monkeypatch.setenv(f"TRAINER_{name.upper()}", value)
    return open_store(ServiceSettings.model_validate(storage))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.full((16, 16, 3), 50 * number, np.uint8), "png"))
    write_table(folder / "a_data.csv", ("", "name", "good"), [(0, NAMES[0], True), (1, NAMES[1], False)])
    write_table(folder / "b_data.csv", ("", "name", "good"), [(0, NAMES[2], True), (1, NAMES[3], False)])
    return folder


def output(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_tables_of_a_folder_go_into_the_store_and_come_back_as_they_were(
    store: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    assert output("dataset", "import", folder, "--name", "hem").startswith("new: hem@0001-")
    assert output("dataset", "import", folder, "--name", "hem").startswith("nothing changed")
    output("dataset", "export", "hem", "--out", tmp_path / "copy", "--split", "0.5,0.25,0.25")
    for table in ("a_data.csv", "b_data.csv"):
        with (
            (folder / table).open(encoding="utf-8") as before,
            (tmp_path / "copy" / table).open(encoding="utf-8") as after,
        ):
            assert [row[1:] for row in csv.reader(before)] == list(csv.reader(after))
    for name in NAMES:
        assert (tmp_path / "copy" / "images" / name).read_bytes() == (folder / name).read_bytes()
    assert {path.name for path in (tmp_path / "copy").iterdir()} >= {"train.csv", "valid.csv", "test.csv"}


def test_a_replaced_image_is_a_new_version_and_the_old_one_keeps_its_own(
    store: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    output("dataset", "import", folder, "--name", "hem")
    before = (folder / NAMES[0]).read_bytes()
    (folder / NAMES[0]).write_bytes(encode(np.full((16, 16, 3), 255, np.uint8), "png"))
    assert output("dataset", "import", folder, "--name", "hem").startswith("new: hem@0002-")
    first, second = (read_version(store, "hem", version) for version in versions(store, "hem"))
    assert store.get(image_key(first.images[0].digest)) == before
    assert first.images[1:] == second.images[1:]
    listed = output("dataset", "list", "hem").splitlines()
    assert [line.partition("  ")[0] for line in listed] == [first.reference, second.reference]
    assert "4 images in 2 groups: good 2" in listed[1]
