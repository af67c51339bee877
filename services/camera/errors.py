"""The error of a camera that can't start, which the people who run the camera can correct."""

from shared.errors import CannotStart


class CameraError(CannotStart):
    """The source, the region or the outbox can't be used; the message says in one line what to do."""
