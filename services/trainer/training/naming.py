"""What a model version is called."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime


def version_name(moment: datetime, training_id: str) -> str:
    """``20261123-0850-3f9a2c``: sorts by time, and is the same again for a training that is resumed."""
    return f"{moment.astimezone(UTC):%Y%m%d-%H%M}-{hashlib.sha256(training_id.encode()).hexdigest()[:6]}"
