"""A file is found by a name that differs a little, and where several could be meant, both are named."""

from __future__ import annotations

import os
from pathlib import Path
from unicodedata import normalize

import pytest

from shared.datasets.image_files import ImageFiles, NoSuchImage, images_folder


def files(root: Path, *names: str) -> ImageFiles:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return ImageFiles(root)


@pytest.mark.parametrize(
    ("there", "given", "difference"),
    [
        ("a.png", "A.PNG", "upper and lower case"),
        ("a.PNG", "a.png", "upper and lower case"),
        ("a.png", "images/a.png", "folders"),
        ("a.png", r"C:\Bilder\a.png", "folders"),
        ("a.png", "/mnt/data/set/a.png", "folders"),
        ("a.png", "./a.png", "folders"),
        ("sub/a.png", r"sub\a.png", "\\ for /"),
        ("sub/a.png", "a.png", "folders"),
        ("a.png", "a", "extension"),
        ("a.v2.png", "a.v2", "extension"),
        ("a.png", "a.jpg", "extension"),
        ("a.jpeg", "a.JPG", "extension"),
        ("über a.png", "%C3%BCber%20a.png", "escapes"),
        ("a.png", "/data/upload/1/3fa2b1c0-a.png", "prefix"),
        ("a.png", "https://cdn.plant.example/set/a.png?token=0a1b", "query"),
        ("a.png", "s3://set/a.png", "folders"),
        ("a.png", "\ufeffa.png", "invisible"),
        ("a.png", "a.png\u200b", "invisible"),
        (normalize("NFD", "Prüfling 1.png"), "Prüfling 1.png", "Unicode"),
        ("Prüfling 1.png", normalize("NFD", "Prüfling 1.png"), "Unicode"),
        (normalize("NFD", "Prüfling 1.PNG"), "prüfling 1.png", "upper and lower case"),
    ],
)
def test_a_near_name_is_taken_where_one_file_alone_can_be_meant(
    tmp_path: Path, there: str, given: str, difference: str
) -> None:
    found = files(tmp_path, there, "other.png").find(given)
    if found.path.name == there.rpartition("/")[2]:
        assert found.path == tmp_path / there
    assert found.name == normalize("NFC", there)
    assert found.path.is_file()
    assert difference in " ".join(found.differences) or found.name == given


@pytest.mark.parametrize(
    ("there", "given", "expected"),
    [
        (("a.png", "A.png"), "a.PNG", "can be one of 2 files (A.png, a.png)"),
        (("ok/a.png", "ng/a.png"), "a.png", "can be one of 2 files (ng/a.png, ok/a.png)"),
        (("a.png", "a.bmp"), "a.jpg", "can be one of 2 files"),
        (("ok/a.png",), "ng/a.png", "is not there, and ok/a.png is: correct the folder"),
        (("a.png",), "b.png", "b.png is not there: put it into"),
        (("a.png",), "../a.png", "is no name of an image"),
        (("a.png",), "", "is no name of an image"),
        (("a.png",), "x" * 400, "x… is not there"),
    ],
)
def test_a_name_that_can_mean_several_files_or_none_says_what_is_near(
    tmp_path: Path, there: tuple[str, ...], given: str, expected: str
) -> None:
    with pytest.raises(NoSuchImage) as refused:
        files(tmp_path, *there).find(given)
    assert expected in str(refused.value)


def test_a_name_that_is_not_in_utf_8_is_read_as_windows_writes_it(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode("Prüfling ß.png".encode("cp1252"))).touch()
    found = ImageFiles(tmp_path)
    assert found.images == ["Prüfling ß.png"]
    assert found.find("prüfling ß.jpg").path.is_file()


def test_the_name_itself_is_taken_before_any_near_one(tmp_path: Path) -> None:
    assert files(tmp_path, "a.png", "A.png", "sub/a.png").find("a.png").differences == ()


def test_the_folder_of_the_images_may_be_written_in_capitals(tmp_path: Path) -> None:
    assert images_folder(tmp_path) == tmp_path
    (tmp_path / "Images").mkdir()
    assert images_folder(tmp_path) == tmp_path / "Images"


def test_links_that_lead_in_a_circle_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    found = files(tmp_path, "a.png", ".hidden.png", "__MACOSX/a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert found.images == ImageFiles(tmp_path).images == ["a.png"]
