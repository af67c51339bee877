"""Write signals into files of a folder that an MES watches. Each file appears complete, by a rename."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Final

from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal
from services.gateway.outputs.settings import FileSettings

COLUMNS: Final = (
    "id", "test", "line", "batch", "order", "operator", "part", "verdict", "action", "reason", "faults", "recipe",
    "model_versions", "missing", "unchecked", "captured_at", "decided_at",
)  # fmt: skip


class FileOutput:
    """Writes CSV or JSON-lines files into a folder."""

    group: Final = 1_000
    longest_pause: Final = 10.0
    seconds_needed: Final = 0.0

    def __init__(self, settings: FileSettings) -> None:
        self.collect_seconds = settings.every_seconds
        self._folder = settings.folder
        self._format = settings.format

    def send(self, signals: Sequence[Signal]) -> int:
        """See the port. A file is named by its first signal, so sending the same signals again replaces the file."""
        for batch, group in groupby(signals, key=lambda signal: signal.batch):
            of_batch = list(group)
            first = of_batch[0]
            name = f"{first.line}.{batch or 'no-batch'}.{first.decided_at:%Y%m%dT%H%M%S%f}.{self._format}"
            self._write(name, _csv(of_batch) if self._format == "csv" else _lines(of_batch))
        return len(signals)

    def show(self, status: LineStatus) -> None:
        """See the port."""

    def check(self) -> None:
        """See the port."""
        self._write(".seamline-check", b"")
        (self._folder / ".seamline-check").unlink(missing_ok=True)

    def close(self) -> None:
        """See the port."""

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._folder / f".{name}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._folder / name)
            _sync(self._folder)
        except OSError as error:
            raise OutputUnavailable(f"{self._folder}: {error.strerror}") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def spaced(names: Sequence[str]) -> str:
    """Return names separated by spaces; a name that contains a space is in quotes."""
    cell = StringIO()
    csv.writer(cell, delimiter=" ", lineterminator="").writerow(names)
    return cell.getvalue()


def _csv(signals: Sequence[Signal]) -> bytes:
    text = StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for signal in signals:
        fields = signal.model_dump(mode="json")
        row = (fields[column] for column in COLUMNS)
        table.writerow(spaced(value) if isinstance(value, list) else "" if value is None else value for value in row)
    return text.getvalue().encode()


def _lines(signals: Sequence[Signal]) -> bytes:
    return b"".join(signal.encode() + b"\n" for signal in signals)
