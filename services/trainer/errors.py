"""What the people who ask for a training can put right."""

from __future__ import annotations


class TrainerError(ValueError):
    """Something that was asked for can't be done; the message says what to do instead."""
