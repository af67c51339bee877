"""Export labelled frames: tables and archives to download, and dataset versions to train on.

A table is ``<video>_data.csv``: the name of each image, then True or False for each label. An archive contains the
images too, ``groups.csv`` with the group of each image, and ``labelled.csv`` with the person and time of each label.
"""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Final

from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.labelling.exports.labelled import (
    LabelledFrame,
    LabelledSource,
    check_compatible,
    labelled_source,
)
from services.dashboard.labelling.images import FrameImages
from services.dashboard.labelling.schemas import DatasetMade, DatasetRequest
from services.dashboard.labelling.sources import FrameSources
from services.dashboard.web.problems import Problem
from shared.contracts.dataset import DatasetVersionError, LabelledImage, next_version, put_image, write_version
from shared.imaging.video import UnreadableMedia
from shared.language import gettext, reported
from shared.storage.port import ObjectNotFound, ObjectStore

THREADS: Final = 8


class ExportService:
    """Writes tables, archives and dataset versions."""

    def __init__(
        self, store: ObjectStore, sources: FrameSources, annotations: AnnotationRepository, images: FrameImages
    ) -> None:
        self._store = store
        self._sources = sources
        self._annotations = annotations
        self._images = images
        self._making = threading.Lock()

    def labelled(self, source_id: str) -> LabelledSource:
        """Return the labelled frames of a source.

        Raises:
            Problem: 404: there is no such source.
        """
        source = self._sources.get(source_id)
        return labelled_source(source, self._annotations.log(source.id))

    def write_archive(self, labelled: LabelledSource, file: IO[bytes]) -> None:
        """Write a zip with the tables and images; unpacked, it is a folder that the trainer reads."""
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            frames = []
            for frame in labelled.grouped:
                if (content := self._image(frame)) is not None:
                    archive.writestr(f"images/{frame.name}", content)
                    frames.append(frame)
            archive.writestr(f"{labelled.source.name}_data.csv", table(labelled.source.recipe.label_names, frames))
            archive.writestr("groups.csv", _csv(("name", "group"), ((each.name, each.group) for each in frames)))
            people = ((each.name, each.annotation.by, each.annotation.at.isoformat()) for each in frames)
            archive.writestr("labelled.csv", _csv(("name", "by", "at"), people))

    def make_dataset(self, request: DatasetRequest, by: str) -> DatasetMade:
        """Write the labelled frames of some sources as the next version of a dataset, images first.

        A version with the same content as the newest one is not written again: the answer names the newest one.

        Raises:
            Problem: 404: there is no such source; 409: the newest version can't be read; 422: the sources have no
                labelled frame, different labels, or two images of one name.
            StorageError: the version was not written. Images that were stored are used when it is made again.
        """
        with self._making:
            labelled = [self.labelled(source) for source in dict.fromkeys(request.sources)]
            check_compatible(labelled)
            frames = [frame for each in labelled for frame in each.grouped]
            with ThreadPoolExecutor(THREADS) as pool:
                images = [image for image in pool.map(self._store_image, frames) if image]
            if not images:
                raise Problem(422, gettext("sources: none of their frames is labelled yet"))
            names, source = labelled[0].source.recipe.label_names, ", ".join(each.source.name for each in labelled)
            try:
                version, is_new = next_version(self._store, request.name, names, images, by=by, source=source)
            except DatasetVersionError as error:
                raise Problem(409, gettext("name: %(error)s: choose another name", error=reported(error))) from error
            if is_new:
                write_version(self._store, version)
        listed = sum(len(each.grouped) + each.incomplete for each in labelled)
        return DatasetMade(
            dataset=version.reference,
            images=len(images),
            groups=version.group_count,
            labels=version.counts,
            contradictions=sum(each.contradictions for each in labelled),
            ungrouped=sum(len(each.frames) - len(each.grouped) for each in labelled),
            missing=listed - len(images),
        )

    def _store_image(self, frame: LabelledFrame) -> LabelledImage | None:
        content = self._image(frame)
        if content is None or frame.group is None:
            return None
        return LabelledImage(
            name=frame.name,
            digest=put_image(self._store, content),
            labels=frame.labels,
            group=frame.group,
            labelled_by=frame.annotation.by,
            labelled_at=frame.annotation.at,
        )

    def _image(self, frame: LabelledFrame) -> bytes | None:
        """Return the image file of a frame, or None if it is no longer stored."""
        try:
            return self._images.get(frame.source, frame.key, frame.inspected)
        except (UnreadableMedia, ObjectNotFound):
            return None


def table(label_names: Sequence[str], frames: Iterable[LabelledFrame]) -> bytes:
    """Return the table of labels as CSV."""
    return _csv(("name", *label_names), ((frame.name, *frame.labels) for frame in frames))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()
