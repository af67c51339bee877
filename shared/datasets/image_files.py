"""Find the files of images by the names that tables give them, also where these are written a little differently."""

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

from shared.imaging.formats import is_other_image, is_readable

IMAGES: Final = "images"
HIDDEN: Final = ("__MACOSX",)
"""Folders that archivers and file managers add."""
SHOWN_OF_NAME: Final = 60
"""Characters of a name that an error shows."""
SHOWN_CANDIDATES: Final = 3
UPLOADED: Final = re.compile(r"[0-9a-f]{4,}-(?P<name>.+)")
"""A name with the prefix that Label Studio gives to uploaded files."""

CAPITALS: Final = "capitals"
UNICODE: Final = "the form of Unicode (an accent as one character or as two)"
FOLDERS: Final = "the folders before the name"
ENDING: Final = "the ending"
BACKSLASHES: Final = "\\ for /"
ESCAPES: Final = "escapes such as %20"
PREFIX: Final = "the prefix of an upload"
QUERY: Final = "the query of an address"
UNSEEN: Final = "characters that can't be seen"
UNSEEN_CHARACTERS: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


class NoSuchImage(ValueError):
    """No file can be meant by a name, or several can; the message says which are near."""


@dataclass(frozen=True)
class ImageFile:
    """The file that a table means."""

    name: str
    """Its path below the folder of the images, in composed Unicode."""
    path: Path
    differences: tuple[str, ...] = ()
    """In what the name that was given differs."""


class ImageFiles:
    """The files below the folder of a dataset's images."""

    def __init__(self, root: Path, without: Collection[str] = ()) -> None:
        """List the files.

        Args:
            root: the folder.
            without: folders directly below it that hold no images.
        """
        self.root = root
        self._paths: dict[str, Path] = {}
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for folder, below, files in os.walk(root):
            is_top = Path(folder) == root
            below[:] = sorted(
                each
                for each in below
                if not each.startswith(".") and each not in HIDDEN and not (is_top and each in without)
            )
            for file in sorted(files):
                if not file.startswith("."):
                    self._add(Path(folder, file))

    def _add(self, path: Path) -> None:
        written = path.relative_to(self.root).as_posix()
        name = normalize("NFC", written)
        name = written if name in self._paths else name  # two files whose names differ in the form of Unicode alone
        self._paths[name] = path
        last = PurePosixPath(name)
        self._by_name[_folded(last.name)].append(name)
        self._by_stem[_folded(last.stem)].append(name)

    @property
    def images(self) -> list[str]:
        """The names of all images that can be read."""
        return [name for name in self._paths if is_readable(name)]

    @property
    def others(self) -> list[str]:
        """The names of the images of kinds that can't be read."""
        return [name for name in self._paths if is_other_image(name)]

    def path(self, name: str) -> Path:
        """Return the file of one of `images`."""
        return self._paths[name]

    def find(self, given: str) -> ImageFile:
        """Return the one file that a name can mean.

        The name itself is taken first. Else capitals, the form of Unicode, the ending, and the folders before the
        shorter of both names may differ, where one file alone is left.

        Raises:
            NoSuchImage: there is no such file, or there are several.
        """
        if path := self._paths.get(given):
            return ImageFile(given, path)
        shown = given if len(given) <= SHOWN_OF_NAME else f"{given[:SHOWN_OF_NAME]}…"
        parts = _parts(given)
        if not parts or ".." in parts or "\0" in given:
            raise NoSuchImage(f"{shown!r} is no name of an image in {self.root.name}")
        candidates = self._candidates(given, parts)
        found = [name for name in candidates if _is_below(_parts(name), parts)]
        for stricter in (_composed, _folded):
            same = [name for name in found if stricter(name) == stricter("/".join(parts))]
            found = same if same else found
            if len(found) == 1:
                return ImageFile(found[0], self._paths[found[0]], tuple(differences_of(given, found[0])))
        near = ", ".join(sorted(found or candidates)[:SHOWN_CANDIDATES])
        if found:
            raise NoSuchImage(f"{shown} can be one of {len(found)} files ({near}): write the whole name")
        if candidates:
            raise NoSuchImage(f"{shown} is not there, and {near} is: correct the folder in the name")
        raise NoSuchImage(f"{shown} is not there: put it into {self.root}, or remove the row")

    def _candidates(self, given: str, parts: Sequence[str]) -> list[str]:
        """Return the files whose last part is the same, or else the same but for its ending, escapes or prefix."""
        last = parts[-1]
        texts = [last, *([unquote(last)] if "%" in given else []), *([last.partition("?")[0]] if "?" in last else [])]
        if uploaded := UPLOADED.fullmatch(last):
            texts.append(uploaded["name"])
        for text in texts:
            if found := self._by_name.get(_folded(text)):
                return found
        for text in texts:
            known = is_readable(text) or is_other_image(text)
            stem = PurePosixPath(text).stem if known else text
            images = [name for name in self._by_stem.get(_folded(stem), ()) if is_readable(name)]
            if images:
                return images
        return []


def is_image_like(text: str) -> bool:
    """Return whether a text, such as an address, ends like the name of an image."""
    name = unquote(text).partition("?")[0] if "?d=" not in text else text
    return is_readable(name) or is_other_image(name)


def images_folder(folder: Path) -> Path:
    """Return the folder of a dataset's images: ``images`` below it, also in capitals; else the folder itself."""
    if (folder / IMAGES).is_dir():
        return folder / IMAGES
    try:
        found = [each for each in folder.iterdir() if each.is_dir() and each.name.casefold() == IMAGES]
    except OSError:
        return folder
    return found[0] if len(found) == 1 else folder


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def _composed(name: str) -> str:
    return normalize("NFC", name)


def _folded(name: str) -> str:
    return normalize("NFC", normalize("NFC", name.translate(UNSEEN_CHARACTERS)).casefold())


def _is_below(real: Sequence[str], given: Sequence[str]) -> bool:
    """Return whether the folders of the shorter name are the last ones of the longer name."""
    ends = list(zip(reversed(real[:-1]), reversed(given[:-1]), strict=False))
    return all(_folded(one) == _folded(unquote(other)) or _folded(one) == _folded(other) for one, other in ends)


def differences_of(given: str, name: str) -> list[str]:
    """Name in what two names of one file differ."""
    found = [BACKSLASHES] if "\\" in given else []
    real, parts = _parts(name), _parts(given)
    if len(real) != len(parts) or "/".join(parts) != given.replace("\\", "/"):
        found.append(FOLDERS)
    last, written = real[-1], parts[-1]
    if "?" in written and "?" not in last:
        written = written.partition("?")[0]
        found.append(QUERY)
    if _folded(last) != _folded(written) and "%" in given:
        written = unquote(written)
        found.append(ESCAPES)
    uploaded = UPLOADED.fullmatch(written)
    if uploaded and _folded(PurePosixPath(last).stem) in (
        _folded(uploaded["name"]),
        _folded(PurePosixPath(uploaded["name"]).stem),
    ):
        written = uploaded["name"]
        found.append(PREFIX)
    if _folded(last) != _folded(written):
        found.append(ENDING)
        last, written = PurePosixPath(last).stem, PurePosixPath(written).stem
    if (seen := written.translate(UNSEEN_CHARACTERS)) != written and last.translate(UNSEEN_CHARACTERS) == last:
        written = seen
        found.append(UNSEEN)
    if last != written:
        found.append(UNICODE if _composed(last) == _composed(written) else CAPITALS)
    return found or ([CAPITALS] if _composed(name) != _composed(given) else [UNICODE])
