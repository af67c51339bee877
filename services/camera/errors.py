"""What the people who run a camera can put right."""

from shared.errors import CannotStart


class CameraError(CannotStart):
    """The source, the region or the outbox can't be used; the message says in one line what to do."""
