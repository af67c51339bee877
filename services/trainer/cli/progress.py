"""Show the progress of a training in the terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class ProgressBar:
    """A bar over each long stage, and over all epochs with loss and metric; without a terminal, a line for each.

    The number of epochs is known after the first one.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._metric = "-"
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None, figures="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_stage(self, stage: str) -> None:
        self._progress.remove_task(self._task)  # a new one, since a task whose total is known can't forget it
        self._task = self._progress.add_task(stage, total=None, figures="")
        if not self._console.is_terminal:
            self._console.print(stage)

    def on_share(self, share: float) -> None:
        self._progress.update(self._task, completed=share, total=1)

    def on_batch(self, epoch: int, share: float, loss: float) -> None:
        figures = f"loss {loss:.3f}  validation {self._metric}"
        self._progress.update(self._task, completed=epoch - 1 + share, description=f"epoch {epoch}", figures=figures)

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        self._metric = f"{metrics['val_average_precision']:.3f}"
        self._progress.update(self._task, completed=epoch, total=epochs)
        if not self._console.is_terminal:
            self._console.print(
                f"epoch {epoch}/{epochs}  loss {metrics['loss']:.4f}  validation loss {metrics['val_loss']:.4f}  "
                f"average precision {metrics['val_average_precision']:.4f} of {metrics['val_images']:.0f} images"
            )
