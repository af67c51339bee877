"""Read the arguments of ``show``: image files, each with the labels whose heatmaps the user requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.imaging.codec import Image, decode
from shared.recipe import Recipe


class WrongRequest(ValueError):
    """The arguments of a command are wrong; the message says how to correct them."""


@dataclass(frozen=True)
class Request:
    """One image to show."""

    image: Image
    labels: tuple[str, ...]
    """The labels to explain; empty for those that the explainer chooses."""


def read_request(word: str, recipe: Recipe) -> Request:
    """Read ``FILE`` or ``FILE=LABEL,LABEL``.

    Raises:
        WrongRequest: there is no such file or label.
        UnreadableImage: the file is not an image.
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
