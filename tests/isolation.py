"""What a test changes in its process, and the next one finds as it was."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    """Undo what a command configures that the block runs: it would log where a later test looks."""
    root, configured = logging.getLogger(), structlog.get_config() if structlog.is_configured() else None
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        if configured:
            structlog.configure(**configured)
