"""Images that a command is given: a file each, and perhaps the labels whose heatmaps are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.imaging.codec import Image, decode
from shared.recipe import Recipe


class WrongRequest(ValueError):
    """A command can't be followed; the message says what it lacks."""


@dataclass(frozen=True)
class Request:
    """One image to show."""

    image: Image
    labels: tuple[str, ...]
    """None: what the explainer would choose."""


def read_request(word: str, recipe: Recipe) -> Request:
    """Read ``FILE`` or ``FILE=LABEL,LABEL``.

    Raises:
        WrongRequest: there is no such file or label.
        UnreadableImage: the file is no image.
    """
    file, _, listed = word.rpartition("=") if "=" in word else (word, "", "")
    labels = tuple(label for label in listed.split(",") if label)
    if unknown := [label for label in labels if label not in recipe.label_names]:
        known = ", ".join(recipe.label_names)
        raise WrongRequest(f"{word}: the recipe has no label {', '.join(unknown)}: its labels are {known}")
    try:
        return Request(decode(Path(file).read_bytes()), labels)
    except OSError as error:
        raise WrongRequest(f"{file} can't be read: {error.strerror}") from error
