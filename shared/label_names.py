"""The one rule for names of labels, and the slug that stands for a label in storage keys, URLs and file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

LONGEST_LABEL: Final = 64
"""Most characters of the name of a label."""
MOST_LABELS: Final = 64
"""Most labels of a recipe or a dataset."""
IMAGE_COLUMN: Final = "name"
"""The column of a table that names the images; no label may have its name."""
PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""The name of a label that is its own slug."""
READABLE: Final = 40
"""Characters of the readable part of a slug."""
DIGEST: Final = 8
"""Hexadecimal digits at the end of a slug."""
SPELT_OUT: Final = str.maketrans({"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"})


def written_alike(text: str) -> str:
    """Return a text in composed Unicode (NFC), with one space where it has white space, and none at its ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@lru_cache(maxsize=4096)
def label_name(text: str) -> str:
    """Return the name of a label in its stored form (`written_alike`).

    Raises:
        ValueError: the name is empty, too long or reserved, or holds a character that can't be seen.
    """
    name = written_alike(text)
    if not name:
        raise ValueError("the name of a label is empty: give it one")
    if name.lower() == IMAGE_COLUMN:
        raise ValueError(f"{name!r} is the column of the images in tables: give the label another name")
    if len(name) > LONGEST_LABEL:
        raise ValueError(f"the name of a label has {LONGEST_LABEL} characters at most, and this has {len(name)}")
    if unseen := next((character for character in name if not character.isprintable()), None):
        raise ValueError(f"the name of a label holds a character that can't be seen (U+{ord(unseen):04X}): remove it")
    return name


def same_label(name: str, among: Collection[str]) -> str | None:
    """Return the label that a name means: the name itself, or the only one that differs in capitals; else None."""
    if name in among:
        return name
    near = [each for each in among if each.casefold() == name.casefold()]
    return near[0] if len(near) == 1 else None


def label_slug(name: str) -> str:
    """Return the slug of a label: its name, where that is plain; else its ASCII letters, a dot and a digest.

    Two labels never have the same slug: a plain name has no dot.
    """
    if PLAIN.fullmatch(name):
        return name
    readable = re.sub(r"[^A-Za-z0-9]+", "-", _ascii(name)).strip("-")[:READABLE] or "label"
    return f"{readable}.{hashlib.sha256(name.encode()).hexdigest()[:DIGEST]}"


def ascii_caption(name: str) -> str:
    """Return a label for fonts that have ASCII alone: without accents, or its slug, where letters would be missing."""
    letters = _ascii(name)
    return letters if len(letters) >= len(name) else label_slug(name)


def _ascii(name: str) -> str:
    return unicodedata.normalize("NFKD", name.translate(SPELT_OUT)).encode("ascii", "ignore").decode()


def _normalised(value: object) -> object:
    return written_alike(value) if isinstance(value, str) else value


LabelName = Annotated[
    str, BeforeValidator(_normalised), Field(min_length=1, max_length=LONGEST_LABEL), AfterValidator(label_name)
]
"""The name of a label: any printable characters."""

LabelSlug = Annotated[str, Field(max_length=LONGEST_LABEL, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""A label in a URL: see `label_slug`."""
