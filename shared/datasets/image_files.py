"""Find the files of images by the names in tables, also if a name differs a little from the name of the file."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote

from shared.imaging.formats import is_other_image, is_readable, readable_name

IMAGES: Final = "images"
IGNORED_FOLDERS: Final = ("__MACOSX",)
"""Folders that archivers and file managers add."""
MOST_SHOWN_CHARACTERS: Final = 60
"""Characters of a name that an error shows."""
MOST_SHOWN_NAMES: Final = 3
UPLOADED_NAME: Final = re.compile(r"[0-9a-f]{4,}-(?P<name>.+)")
"""A name with the prefix that Label Studio gives to uploaded files."""

CASE: Final = "upper and lower case"
UNICODE: Final = "the Unicode form (an accent as one character or as two)"
FOLDERS: Final = "the folders before the name"
EXTENSION: Final = "the extension"
BACKSLASHES: Final = "\\ for /"
ESCAPES: Final = "escapes such as %20"
PREFIX: Final = "the prefix of an upload"
QUERY: Final = "the query of an address"
INVISIBLE: Final = "invisible characters"
INVISIBLE_CHARACTERS: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


class NoSuchImage(ValueError):
    """A name fits no file, or several files; the message names similar files."""


@dataclass(frozen=True)
class ImageFile:
    """The file of an image in a table."""

    name: str
    """The path of the file below the folder of the images, in composed Unicode."""
    path: Path
    differences: tuple[str, ...] = ()
    """The kinds of differences between the name in the table and the name of the file."""


class ImageFiles:
    """The files below the folder of a dataset's images."""

    def __init__(self, root: Path, without: Collection[str] = ()) -> None:
        """List the files.

        Args:
            root: the folder.
            without: folders directly below it that are left out, in lower case.
        """
        self.root = root
        self._paths: dict[str, Path] = {}
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for folder, subfolders, files in os.walk(root):
            is_root = Path(folder) == root
            subfolders[:] = sorted(
                name
                for name in subfolders
                if not name.startswith(".")
                and name not in IGNORED_FOLDERS
                and not (is_root and name.casefold() in without)
            )
            for file in sorted(name for name in files if not name.startswith(".")):
                path = Path(folder, file)
                own_name = readable_name(path.relative_to(root).as_posix())
                name = _compose(own_name)
                if name in self._paths:  # the names of two files differ in the Unicode form alone
                    name = own_name
                self._paths[name] = path
                last = PurePosixPath(name)
                self._by_name[_fold_case(last.name)].append(name)
                self._by_stem[_fold_case(last.stem)].append(name)

    @property
    def images(self) -> list[str]:
        """The names of all images that can be read."""
        return [name for name in self._paths if is_readable(name)]

    @property
    def others(self) -> list[str]:
        """The names of all images that can't be read, such as TIFF files."""
        return [name for name in self._paths if is_other_image(name)]

    def path(self, name: str) -> Path:
        """Return the file of one of `images`."""
        return self._paths[name]

    def find(self, given: str) -> ImageFile:
        """Return the file of a name.

        A file with exactly this name comes first. Otherwise case, Unicode form, extension, and the folders before the
        shorter of both names may differ, if exactly one file fits.

        Raises:
            NoSuchImage: no file fits, or several do.
        """
        if path := self._paths.get(given):
            return ImageFile(given, path)
        shown = given if len(given) <= MOST_SHOWN_CHARACTERS else f"{given[:MOST_SHOWN_CHARACTERS]}…"
        parts = _parts(given)
        if not parts or ".." in parts or "\0" in given:
            raise NoSuchImage(f"{shown!r} is no name of an image in {self.root.name}")
        similar = self._similar_names(given, parts)
        fitting = [name for name in similar if _folders_fit(_parts(name), parts)]
        for normal_form in (_compose, _fold_case):
            same = [name for name in fitting if normal_form(name) == normal_form("/".join(parts))]
            fitting = same or fitting
            if len(fitting) == 1:
                name = fitting[0]
                return ImageFile(name, self._paths[name], tuple(differences_of(given, name)))
        shown_names = ", ".join(sorted(fitting or similar)[:MOST_SHOWN_NAMES])
        if fitting:
            raise NoSuchImage(f"{shown} can be one of {len(fitting)} files ({shown_names}): write the whole name")
        if similar:
            raise NoSuchImage(f"{shown} is not there, and {shown_names} is: correct the folder in the name")
        raise NoSuchImage(f"{shown} is not there: put it into {self.root}, or remove the row")

    def _similar_names(self, given: str, parts: Sequence[str]) -> list[str]:
        """Return the files whose last part is the same, or else the same but for extension, escapes or prefix."""
        last = parts[-1]
        query_removed = [last.partition("?")[0]] if "?" in last else []
        spellings = [last, *([unquote(last)] if "%" in given else []), *query_removed]
        if uploaded := UPLOADED_NAME.fullmatch(last):
            spellings.append(uploaded["name"])
        for spelling in spellings:
            if names := self._by_name.get(_fold_case(spelling)):
                return names
        for spelling in spellings:
            has_extension = is_readable(spelling) or is_other_image(spelling)
            stem = PurePosixPath(spelling).stem if has_extension else spelling
            images = [name for name in self._by_stem.get(_fold_case(stem), ()) if is_readable(name)]
            if images:
                return images
        return []


def is_image_like(text: str) -> bool:
    """Return whether a text, such as an address, ends like the name of an image."""
    name = unquote(text).partition("?")[0] if "?d=" not in text else text
    return is_readable(name) or is_other_image(name)


def in_any_case(folder: Path, name: str) -> Path:
    """Return the path of a file or folder, also if it is written in capitals.

    Args:
        folder: where it is.
        name: its name in lower case; it is returned if there is no such file, or several differ in capitals.
    """
    if (folder / name).exists():
        return folder / name
    try:
        near = [path for path in folder.iterdir() if path.name.casefold() == name]
    except OSError:
        near = []
    return near[0] if len(near) == 1 else folder / name


def images_folder(folder: Path) -> Path:
    """Return the folder of a dataset's images: its subfolder ``images``, in any case, or else the folder itself."""
    path = in_any_case(folder, IMAGES)
    return path if path.is_dir() else folder


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def _compose(name: str) -> str:
    return normalize("NFC", name)


def _fold_case(name: str) -> str:
    """Return a name in lower case and composed Unicode, without invisible characters."""
    return _compose(_compose(name.translate(INVISIBLE_CHARACTERS)).casefold())


def _folders_fit(file_parts: Sequence[str], given_parts: Sequence[str]) -> bool:
    """Return whether the folders of the shorter name are the last folders of the longer name."""
    pairs = zip(reversed(file_parts[:-1]), reversed(given_parts[:-1]), strict=False)
    return all(_fold_case(one) in (_fold_case(unquote(other)), _fold_case(other)) for one, other in pairs)


def differences_of(given: str, name: str) -> list[str]:
    """Return the kinds of differences between the given name of a file and the name of the file."""
    differences = [BACKSLASHES] if "\\" in given else []
    file_parts, given_parts = _parts(name), _parts(given)
    if len(file_parts) != len(given_parts) or "/".join(given_parts) != given.replace("\\", "/"):
        differences.append(FOLDERS)
    file_name, given_name = file_parts[-1], given_parts[-1]
    if "?" in given_name and "?" not in file_name:
        given_name = given_name.partition("?")[0]
        differences.append(QUERY)
    if _fold_case(file_name) != _fold_case(given_name) and "%" in given:
        given_name = unquote(given_name)
        differences.append(ESCAPES)
    uploaded = UPLOADED_NAME.fullmatch(given_name)
    if uploaded and _fold_case(PurePosixPath(file_name).stem) in (
        _fold_case(uploaded["name"]),
        _fold_case(PurePosixPath(uploaded["name"]).stem),
    ):
        given_name = uploaded["name"]
        differences.append(PREFIX)
    if _fold_case(file_name) != _fold_case(given_name):
        differences.append(EXTENSION)
        file_name, given_name = PurePosixPath(file_name).stem, PurePosixPath(given_name).stem
    visible = given_name.translate(INVISIBLE_CHARACTERS)
    if visible != given_name and file_name.translate(INVISIBLE_CHARACTERS) == file_name:
        given_name = visible
        differences.append(INVISIBLE)
    if file_name != given_name:
        differences.append(UNICODE if _compose(file_name) == _compose(given_name) else CASE)
    return differences or ([CASE] if _compose(name) != _compose(given) else [UNICODE])
