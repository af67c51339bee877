"""Errors that the person who asks for something can correct."""

from __future__ import annotations


class TrainerError(ValueError):
    """A request can't be fulfilled; the message says what to do instead."""


class NotComparable(TrainerError):
    """Two models can't be measured on the same images; the message says why."""
