"""Image files of frames, whole or made smaller."""

from __future__ import annotations

from services.dashboard.labelling.annotations.annotation import InspectedFrame
from services.dashboard.labelling.sources import FrameSource
from services.dashboard.labelling.videos.repository import VideoRepository
from services.dashboard.web.thumbnails import Thumbnails
from shared.imaging.codec import FILE_LIMIT
from shared.imaging.video import UnreadableMedia
from shared.storage.port import ObjectNotFound, ObjectStore, ObjectTooLarge


class FrameImages:
    """Reads the images of any source: from the video or album, or from object storage for a frame of a line."""

    def __init__(self, store: ObjectStore, videos: VideoRepository) -> None:
        self._store = store
        self._videos = videos
        self._thumbnails = Thumbnails()

    def get(self, source: FrameSource, key: str, inspected: InspectedFrame | None) -> bytes:
        """Return the image file of a frame, JPEG or PNG.

        Args:
            source: the source that the frame belongs to.
            key: the key of the frame within its source.
            inspected: the frame, if it is one of a line.

        Raises:
            UnreadableMedia: the image can't be read.
            ObjectNotFound: the image is not stored.
        """
        if source.video is not None:
            return self._videos.image(source.video, int(key))
        if inspected is None or not inspected.frame.owns(inspected.image_key):
            raise ObjectNotFound(f"frame {key} has no image")
        try:
            return self._store.get(inspected.image_key, FILE_LIMIT)
        except ObjectTooLarge as error:
            raise UnreadableMedia(str(error)) from error

    def thumbnail(self, source: FrameSource, key: str, inspected: InspectedFrame | None, width: int) -> bytes:
        """Return the image file made no wider than this many pixels; raises as `get`."""
        return self._thumbnails.get((source.id, key, width), width, lambda: self.get(source, key, inspected))
