"""Labelling put together."""

from __future__ import annotations

from services.dashboard.frames.marks import Marks
from services.dashboard.frames.repository import FrameIndex
from services.dashboard.labelling.annotations.log import Ledger
from services.dashboard.labelling.exports.building import DatasetMaker
from services.dashboard.labelling.exports.export import Exports
from services.dashboard.labelling.line_frames import LineFrames
from services.dashboard.labelling.service import LabellingService
from services.dashboard.labelling.videos.repository import Videos
from services.dashboard.labelling.videos.transfers import Transfers
from services.dashboard.lines.register import LineRegister
from shared.storage.port import ObjectStore


class LabellingRoom:
    """What the endpoints of labelling find."""

    def __init__(
        self,
        store: ObjectStore,
        index: FrameIndex,
        lines: LineRegister,
        marks: Marks,
        *,
        upload_bytes: int,
        transfers: int,
    ) -> None:
        """``upload_bytes``: of the largest video that is taken in; ``transfers``: at once, in and out."""
        self._videos = Videos(store)
        self._ledger = Ledger(store)
        self.service = LabellingService(store, self._videos, self._ledger, LineFrames(index, lines, marks))
        self.exports = Exports(self.service, self._ledger)
        self.upload_bytes = upload_bytes
        self.uploads = Transfers("uploads", transfers)
        self.downloads = Transfers("exports with images", transfers)
        self.datasets = DatasetMaker(store, self.exports, self.downloads)

    def close(self) -> None:
        """Forget the videos that are at hand on this machine."""
        self._ledger.close()
        self._videos.close()
