"""Build the services of labelling, and provide them to endpoints and pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Path

from services.dashboard.frames.marks import Marks
from services.dashboard.frames.pending_removals import PendingRemovals
from services.dashboard.frames.repository import FrameRepository
from services.dashboard.labelling.annotations.annotation import FrameKey, SourceId
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.labelling.exports.service import ExportService
from services.dashboard.labelling.images import FrameImages
from services.dashboard.labelling.imports.service import ImportService
from services.dashboard.labelling.line_frames import LineFrames
from services.dashboard.labelling.service import LabellingService
from services.dashboard.labelling.sources import FrameSources
from services.dashboard.labelling.videos.repository import VideoRepository
from services.dashboard.labelling.videos.transfers import TransferSlots
from services.dashboard.lines.repository import LineRepository
from services.dashboard.recipes.service import RecipesService
from services.dashboard.web.service_registry import provided
from shared.storage.port import ObjectStore
from shared.validation import marked


class LabellingServices:
    """The services that the endpoints and pages of labelling use."""

    def __init__(
        self,
        store: ObjectStore,
        index: FrameRepository,
        lines: LineRepository,
        marks: Marks,
        *,
        upload_bytes: int,
        transfers: int,
    ) -> None:
        """Build them.

        Args:
            store: object storage.
            index: the frame index.
            lines: the lines.
            marks: the frames that people marked as wrongly inspected.
            upload_bytes: size of the largest upload.
            transfers: uploads that run at once; also archives and datasets that are made at once.
        """
        self._videos = VideoRepository(store)
        self._annotations = AnnotationRepository(store)
        sources, images = FrameSources(store, self._videos), FrameImages(store, self._videos)
        self.labelling = LabellingService(
            sources,
            self._videos,
            self._annotations,
            images,
            LineFrames(index, lines, marks, PendingRemovals(store)),
            recipes=RecipesService(store),
        )
        self.exports = ExportService(store, sources, self._annotations, images)
        self.imports = ImportService(store)
        self.upload_bytes = upload_bytes
        self.upload_slots = TransferSlots(marked("uploads"), transfers)
        self.export_slots = TransferSlots(marked("exports with images"), transfers)

    def close(self) -> None:
        """Close the open videos, and stop the background thread."""
        self._annotations.close()
        self._videos.close()


Services = Annotated[LabellingServices, provided(LabellingServices)]


def labelling_service(services: Services) -> LabellingService:
    """Return the service of labelling."""
    return services.labelling


def upload_slot(services: Services) -> Iterator[None]:
    """Hold one of the slots for uploads."""
    with services.upload_slots.slot():
        yield


def export_slot(services: Services) -> Iterator[None]:
    """Hold one of the slots for exports with images."""
    with services.export_slots.slot():
        yield


Labelling = Annotated[LabellingService, Depends(labelling_service)]
UploadSlot = Annotated[None, Depends(upload_slot, scope="function")]
"""Taken after the role is checked, and free again before the answer, so that the next upload may begin at once."""
ExportSlot = Annotated[None, Depends(export_slot)]
"""Held until the answer is sent."""
SourcePath = Annotated[SourceId, Path(examples=["line-seam"])]
FramePath = Annotated[FrameKey, Path(examples=["12"])]
