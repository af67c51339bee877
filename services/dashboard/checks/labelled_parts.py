"""Offer the labelled images of datasets as parts of a challenge set: their labels say what is expected of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Protocol
from urllib.parse import urlencode

from services.dashboard.checks.repository import GivenImage
from services.dashboard.checks.schemas import ChallengePartView, LabelledPart, LabelledParts
from services.dashboard.lines.service import LinesService
from services.dashboard.models.dataset_images import DatasetImages
from services.dashboard.web.problems import Problem
from shared.contracts.dataset import (
    DatasetVersion,
    DatasetVersionError,
    LabelledImage,
    get_image,
    newest_version,
    read_version,
)
from shared.language import gettext
from shared.messages import Expected, Verdict
from shared.recipe import Recipe, Task
from shared.storage.port import InvalidKey, ObjectNotFound, ObjectStore
from shared.verdict import judge

MOST_SHOWN: Final = 60
"""Images of a page."""
NAME_LENGTH: Final = 55
"""Characters of the name of an image in the name of its part."""


class ChallengeSets(Protocol):
    """The challenge sets of lines."""

    def recipe(self, line: str) -> Recipe | None:
        """Return the recipe of a line; None: it is not known."""
        ...

    def put_part(
        self, line: str, name: str, expected: Expected, defects: Sequence[str], images: Sequence[GivenImage], *, by: str
    ) -> ChallengePartView:
        """Store a part of the challenge set of a line."""
        ...


class LabelledPartsService:
    """Answers about the labelled images that may become parts of a challenge set."""

    def __init__(
        self, store: ObjectStore, lines: LinesService, challenges: ChallengeSets, images: DatasetImages
    ) -> None:
        self._store = store
        self._lines = lines
        self._challenges = challenges
        self._images = images

    def offered(self, line: str, dataset: str, label: str | None = None, start: int = 0) -> LabelledParts:
        """Return images of a dataset, its newest version or a given one, as parts of a line's challenge set.

        Args:
            line: the line, whose recipe says which labels make a part NG.
            dataset: ``name`` or ``name@version``.
            label: only images with this label; None: all of them.
            start: the number of images to skip.

        Raises:
            Problem: 404: there is no such line or dataset; 409: the recipe of the line is not known, or the dataset
                lacks one of its labels.
        """
        version = self._version(dataset)
        parts = [part for part in self._parts(line, version) if label is None or label in part.labels]
        shown = parts[start : start + MOST_SHOWN]
        more = start + len(shown) if start + len(shown) < len(parts) else None
        return LabelledParts(
            dataset=version.reference, labels=list(version.label_names), count=len(parts), parts=shown, next=more
        )

    def thumbnail(self, line: str, reference: str, name: str) -> bytes:
        """Return a small image of a version of a dataset.

        Raises:
            Problem: 404: there is no such line or image.
        """
        self._lines.check(line)
        return self._images.thumbnail(reference, name)

    def add(self, line: str, dataset: str, places: Sequence[int], *, by: str) -> list[ChallengePartView]:
        """Store images of a dataset as parts of a line's challenge set, each in place of an earlier copy of itself.

        Raises:
            Problem: 404: there is no such line, dataset or image; 409: the set is full, or nothing says what is
                expected of the images; 422: an image can't be used.
        """
        version = self._version(dataset)
        offered = {part.place: part for part in self._parts(line, version)}
        added = []
        for place in places:
            image = self._image(version, place)
            part = offered.get(place)
            if part is None:
                raise Problem(
                    409, gettext("%(name)s has not exactly one label, as its recipe asks for", name=image.name)
                )
            try:
                content = get_image(self._store, version, image.name, image.digest)
            except DatasetVersionError as error:
                raise Problem(404, str(error)) from error
            given = [GivenImage(None, content)]
            added.append(self._challenges.put_part(line, name_of(image), part.expected, part.defects, given, by=by))
        return added

    def _version(self, dataset: str) -> DatasetVersion:
        name, _, version = dataset.partition("@")
        try:
            found = read_version(self._store, name, version) if version else newest_version(self._store, name)
        except (ObjectNotFound, DatasetVersionError, InvalidKey):
            found = None
        if found is None:
            raise Problem(
                404, gettext("there is no dataset %(dataset)r: GET /api/datasets lists them", dataset=dataset)
            )
        return found

    def _image(self, version: DatasetVersion, place: int) -> LabelledImage:
        if not 0 <= place < len(version.images):
            raise Problem(404, gettext("%(dataset)s has no image %(place)s", dataset=version.reference, place=place))
        return version.images[place]

    def _parts(self, line: str, version: DatasetVersion) -> Iterator[LabelledPart]:
        recipe = self._challenges.recipe(line)
        if recipe is None:
            raise Problem(409, gettext("no frame of the line was inspected so far, so its recipe is not known"))
        annotated = recipe.annotated
        if missing := [each.name for each in annotated.labels if each.decides and each.name not in version.label_names]:
            raise Problem(
                409,
                gettext(
                    "%(dataset)s lacks the label %(label)s of the line's recipe",
                    dataset=version.reference,
                    label=missing[0],
                ),
            )
        for place, image in enumerate(version.images):
            labels = [name for name, true in zip(version.label_names, image.labels, strict=True) if true]
            if (found := expected_of(annotated, labels)) is not None:
                expected, faults = found
                of_image = {"dataset": version.reference, "name": image.name}
                yield LabelledPart(
                    place=place,
                    name=image.name,
                    url=f"/api/lines/{line}/challenge/labelled/image?{urlencode(of_image)}",
                    labels=labels,
                    expected=expected,
                    defects=[name for name in faults if name in recipe.label_names],
                )


def expected_of(recipe: Recipe, labels: Sequence[str]) -> tuple[Expected, list[str]] | None:
    """Return the verdict that an image with these labels must get, and the labels that are present and make it NG.

    None if the labels of the recipe exclude each other, and the image has not exactly one of them.
    """
    scores = [float(name in labels) for name in recipe.label_names]
    if recipe.task is Task.EXCLUSIVE and sum(scores) != 1:
        return None
    judged = judge(recipe, scores)
    if judged.verdict is not Verdict.NG:
        return Expected.OK, []
    return Expected.NG, [name for name, found in judged.findings.items() if found.fault and found.present]


def name_of(image: LabelledImage) -> str:
    """Return the name of the part that an image becomes: that of its file, and its digest."""
    text = re.sub(r"[^A-Za-z0-9_-]+", "-", image.name.rpartition(".")[0] or image.name).strip("-_")
    return f"{text[-NAME_LENGTH:].strip('-_') or 'image'}-{image.digest[:8]}"
