"""A zip is unpacked into its folder, or refused before it fills the disk."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from shared.datasets.tables import DatasetError
from shared.datasets.zip_file import unpack


def pack(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_the_only_folder_of_a_zip_is_the_dataset(tmp_path: Path) -> None:
    file = pack(tmp_path / "a.zip", **{"set/labels.csv": b"x", "set/images/0.png": b"y", "__MACOSX/set/._0.png": b"z"})
    (tmp_path / "out").mkdir()
    folder = unpack(file, tmp_path / "out")
    assert folder.name == "set"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["0.png", "labels.csv"]


def test_a_dataset_may_be_in_several_folders_of_a_zip(tmp_path: Path) -> None:
    file = pack(tmp_path / "a.zip", **{"a/b/images/0.png": b"y", "Thumbs.db": b"", "a/desktop.ini": b""})
    (tmp_path / "out").mkdir()
    assert unpack(file, tmp_path / "out") == tmp_path / "out" / "a" / "b"
    file = pack(tmp_path / "b.zip", **{"set/gut/0.png": b"y", "set/gut/1.png": b"z"})
    assert unpack(file, tmp_path / "two") == tmp_path / "two" / "set", "its folder is a class"


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_names_are_read_as_macos_and_windows_write_them(tmp_path: Path, encoding: str) -> None:
    file = pack(tmp_path / "a.zip", **{"Pr_fling.png": b"x", "labels.csv": b"y"})
    name = "Prüfling.png".encode(encoding)
    # both tools leave out the mark of UTF-8, and a name of the same length keeps the zip whole
    plain = b"Pr_fling.png" if encoding == "cp437" else b"Pr__fling.png"
    if encoding == "utf-8":
        file = pack(tmp_path / "a.zip", **{"Pr__fling.png": b"x", "labels.csv": b"y"})
    file.write_bytes(file.read_bytes().replace(plain, name))
    (tmp_path / "out").mkdir()
    unpack(file, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Prüfling.png", "labels.csv"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a.png", r"b\..\a.png"), "is a link, or a path outside"),
        (("b/a.png", r"b\a.png"), "has two files"),
        (("a", "a/b.png"), "can't be unpacked"),
        ((".",), "is a link, or a path outside"),
        (("ü" * 200 + ".png",), "is longer than 255 bytes: rename the file"),
    ],
)
def test_entries_that_cant_be_files_beside_each_other_are_refused(
    tmp_path: Path, names: tuple[str, ...], expected: str
) -> None:
    file = pack(tmp_path / "a.zip", **dict.fromkeys(names, b"x"))
    (tmp_path / "out").mkdir()
    with pytest.raises(DatasetError, match=expected):
        unpack(file, tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", r"..\evil", "C:/evil"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    file = pack(tmp_path / "a.zip", **{name: b"x"})
    (tmp_path / "out").mkdir()
    with pytest.raises(DatasetError, match="is a link, or a path outside of the folder"):
        unpack(file, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="is a link, or a path outside of the folder"):
        unpack(tmp_path / "a.zip", tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = pack(tmp_path / "a.zip", bomb=bytes(100 * 2**20))
    (tmp_path / "out").mkdir()
    with pytest.raises(DatasetError, match="is compressed more than 200:1"):
        unpack(file, tmp_path / "out")
    with pytest.raises(DatasetError, match="split it into several zips"):
        unpack(file, tmp_path / "out", most_bytes=2**20)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(DatasetError, match="can't be unpacked"):
        unpack(tmp_path / "a.zip", tmp_path)
