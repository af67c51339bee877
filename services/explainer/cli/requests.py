"""Read the arguments of ``show``: image files, each with the labels whose heatmaps the user requests."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from shared.imaging.codec import Image, as_jpeg_or_png, decode
from shared.label_names import written_alike
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
    """Read ``FILE`` or ``FILE=LABEL,LABEL``; a label with a comma is in quotes, unless it is the only one.

    Raises:
        WrongRequest: there is no such file or label.
        UnreadableImage: the file is not an image.
    """
    file, listed = word, ""
    if not Path(word).is_file():  # the names of files and of labels may have a =
        cuts = [place for place, character in enumerate(word) if character == "="]
        cut = next((place for place in cuts if Path(word[:place]).is_file()), cuts[0] if cuts else len(word))
        file, listed = word[:cut], word[cut + 1 :]
    given = [listed] if written_alike(listed) in recipe.label_names else next(csv.reader([listed]), [])
    labels = tuple(written_alike(label) for label in given if label)
    if unknown := [label for label in labels if label not in recipe.label_names]:
        known = ", ".join(recipe.label_names)
        raise WrongRequest(f"{word}: the recipe has no label {', '.join(unknown)}: its labels are {known}")
    try:
        return Request(decode(as_jpeg_or_png(Path(file).read_bytes())), labels)
    except OSError as error:
        raise WrongRequest(f"{file} can't be read: {error.strerror}") from error
