from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.trainer.cli.commands import app
from services.trainer.datasets.pixels import decode_images
from services.trainer.datasets.split import split, tables
from shared.contracts.dataset import versions
from shared.contracts.training import Shares
from shared.datasets.reading import read_dataset
from shared.recipe import ImageSpec
from shared.storage.filesystem import FilesystemStore
from tests.strokes import STROKES, draw_strokes


class Commands:
    """Runs commands in this process, on storage of the test's own."""

    def run(self, *words: str | Path) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    def output(self, *words: str | Path) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def complaint(self, *words: str | Path) -> str:
        result = self.run(*words)
        assert result.exit_code == 2, result.stdout
        return result.stderr


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commands:
    monkeypatch.setenv("TRAINER_STORAGE_URL", f"file:///{tmp_path}/objects")
    return Commands()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "strokes.yaml").write_text(STROKES)
    return draw_strokes(tmp_path / "source", 40)


def test_a_folder_is_imported_listed_and_exported_with_its_split(
    commands: Commands, source: Path, tmp_path: Path
) -> None:
    first = commands.output("dataset", "import", source, "--name", "strokes", "--by", "ada")
    assert first.startswith("new: strokes@0001-")
    assert commands.output("dataset", "import", source, "--name", "strokes").startswith(
        "nothing changed: strokes@0001-"
    )
    (listed,) = commands.output("dataset", "list").splitlines()
    assert "40 images in 8 groups: good " in listed
    assert "by ada" in listed
    parts = ("--split", "0.6,0.2,0.2", "--seed", "1")
    commands.output("dataset", "export", "strokes", "--out", tmp_path / "copy", *parts)
    again, before = read_dataset(tmp_path / "copy"), read_dataset(source)
    assert [(each.name, each.labels, each.group) for each in again.examples] == [
        (each.name, each.labels, each.group) for each in before.examples
    ]
    commands.output("split", source, "--out", tmp_path / "split", *parts)
    commands.output("dataset", "split", "strokes", "--out", tmp_path / "third", *parts)
    for part in ("train.csv", "valid.csv", "test.csv"):
        written = (tmp_path / "split" / part).read_bytes()
        assert written.startswith(b"name,good,dark,bright\n")
        assert written == (tmp_path / "copy" / part).read_bytes() == (tmp_path / "third" / part).read_bytes()


def test_a_folder_and_its_version_are_split_alike_where_files_were_copied_and_say_so(
    commands: Commands, source: Path, tmp_path: Path
) -> None:
    images = source / "images"
    (images / "stroke_0039.png").write_bytes((images / "stroke_0000.png").read_bytes())
    commands.output("dataset", "import", source, "--name", "strokes")
    shares = ("--split", "0.6,0.2,0.2", "--out")
    of_folder = commands.run("split", source, *shares, tmp_path / "folder")
    of_version = commands.run("dataset", "split", "strokes", *shares, tmp_path / "version")
    warning = "note: 1 image(s) are copies of one of another group (stroke_0039.png of stroke_0000.png), "
    assert warning in of_folder.stderr
    assert warning in of_version.stderr
    tables = [(tmp_path / "folder" / f"{part}.csv").read_text() for part in ("train", "valid", "test")]
    assert tables == [(tmp_path / "version" / f"{part}.csv").read_text() for part in ("train", "valid", "test")]
    assert sorted(("_0000.png" in table) + ("_0039.png" in table) for table in tables) == [0, 0, 2]


def test_a_folder_is_split_where_it_is(commands: Commands, source: Path) -> None:
    result = commands.run("split", source)
    assert "images, in" in result.stdout
    assert "note: test has too few images with or without good" in result.stderr
    rows = [(source / f"{part}.csv").read_text().splitlines()[1:] for part in ("train", "valid", "test")]
    assert sum(map(len, rows)) == 40
    assert commands.run("split", source).exit_code == 0, "its own tables are none to split"


def test_an_unreadable_image_stops_the_split_of_a_folder_or_is_passed_over_as_a_training_does(
    commands: Commands, source: Path, tmp_path: Path
) -> None:
    (source / "images" / "stroke_0007.png").write_bytes(b"no image")
    words = ("split", source, "--split", "0.6,0.2,0.2", "--seed", "1", "--out", tmp_path / "split")
    assert commands.complaint(*words) == "labels.csv, line 9: stroke_0007.png can't be used: neither a JPEG nor a PNG\n"
    assert not (tmp_path / "split").exists()
    passed = commands.run(*words, "--skip-problems")
    assert "left out: labels.csv, line 9: stroke_0007.png can't be used: neither a JPEG nor a PNG" in passed.stderr
    (tmp_path / "scratch").mkdir()
    learned, _ = decode_images(read_dataset(source), ImageSpec(), tmp_path / "scratch", "skip")
    parts = split(learned, Shares(train=0.6, valid=0.2, test=0.2), 1)
    for table, content in tables(parts, learned.label_names).items():
        assert (tmp_path / "split" / table).read_bytes() == content


def test_wrong_rows_stop_the_import_or_are_passed_over_each_with_its_place(
    commands: Commands, source: Path, tmp_path: Path
) -> None:
    (source / "images" / "stroke_0003.png").unlink()
    (source / "images" / "stroke_0007.png").write_bytes(b"no image")
    words = ("dataset", "import", source, "--name", "strokes", "--recipe", tmp_path / "strokes.yaml")
    said = commands.complaint(*words).splitlines()
    assert [line.partition(".png")[0] for line in said] == [
        "labels.csv, line 5: stroke_0003",
        "labels.csv, line 9: stroke_0007",
    ]
    assert versions(FilesystemStore(tmp_path / "objects"), "strokes") == []
    passed = commands.run(*words, "--skip-problems")
    assert "left out: labels.csv, line 5: stroke_0003.png is not there" in passed.stderr
    assert "left out: labels.csv, line 9: stroke_0007.png can't be used: neither a JPEG nor a PNG" in passed.stderr
    assert "38 images" in passed.stdout


def test_a_label_that_the_recipe_does_not_know_stops_the_import(
    commands: Commands, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.yaml").write_text(STROKES.replace("  bright: {key: b, colour: green, role: defect}\n", ""))
    words = ("dataset", "import", source, "--name", "strokes", "--recipe", tmp_path / "other.yaml")
    assert "labels.csv, line 1: the recipe has no label bright" in commands.complaint(*words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("dataset", "import", "nowhere", "--name", "seam"), "nowhere: no such folder"),
        (("dataset", "import", "{source}", "--name", "a/b"), "a dataset is named with letters"),
        (("dataset", "import", "{source}", "--name", "seam", "--task", "exclusive"), "the recipe wants exactly one"),
        (("dataset", "export", "seam", "--out", "new"), "there is no dataset 'seam'"),
        (("dataset", "export", "seam", "--out", "{source}"), "is not empty"),
        (("split", "{source}", "--split", "1"), "split is three shares"),
        (("split", "nowhere"), "no such folder"),
    ],
)
def test_wrong_input_is_refused_with_what_is_wrong(
    commands: Commands, source: Path, words: tuple[str, ...], expected: str
) -> None:
    assert expected in commands.complaint(*(word.format(source=source) for word in words))
