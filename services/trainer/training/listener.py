"""Receive the progress of a training."""

from __future__ import annotations

from typing import Protocol


class TrainingListener(Protocol):
    """Receives the progress of a training."""

    def on_stage(self, stage: str) -> None:
        """Receive the stage that begins, other than an epoch, in a few words, such as ``measuring heatmaps``."""
        ...

    def on_share(self, share: float) -> None:
        """Receive the finished share (0 to 1) of a stage that takes long."""
        ...

    def on_batch(self, epoch: int, share: float, loss: float) -> None:
        """Receive the finished share (0 to 1) of an epoch (from 1), and the epoch's mean loss so far."""
        ...

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        """Receive the metrics of an epoch (from 1 to ``epochs``)."""
        ...
