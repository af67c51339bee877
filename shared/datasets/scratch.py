"""Temporary folders for files that reading a dataset makes, such as masks."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def scratch_folder() -> Path:
    """Return a new folder, which is deleted when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="seamline-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
