"""Measure where the heatmaps of a first model point, and how often good images have heat: with all defaults.

    python -m benchmarks.heatmaps [--pack bsdata_pitting]… [--folds 1] [--without-masks]

Each pack is divided into five folds by group. A model is trained on four of them as a new user would: by `train --data`
alone. Its heatmaps are compared with the masks of the fifth, and the good images of the fifth should have none.
`--without-masks` hides the masks from the training, so that it chooses by pasted defects. What was measured is stored
in `--out`, so that the command can be stopped and started again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.packs import DATA, FOLDS, command, link, split_fold
from shared.explain.metrics import HeatmapScores, Measured

PACKS = ("aitex_fabric", "bsdata_pitting", "pcb_multilabel")
"""Those with masks."""
COLUMNS = (
    *("pack, fold", "heatmaps", "chosen by", "label", "images", "pointing", "centre", "random", "no heat"),
    *("pointing by size of the defect", "false heat", "good images", "minutes"),
)
OUT = Path("var/heatmaps")


def main(
    data: Annotated[Path, typer.Option(help="Folder of the image packs.")] = DATA,
    out: Annotated[Path, typer.Option(help="Folder for folds, models and reports.")] = OUT,
    pack: Annotated[list[str] | None, typer.Option(help="Image packs; by default all that have masks.")] = None,
    folds: Annotated[int, typer.Option(min=1, max=FOLDS, help="Number of folds that are measured, of five.")] = 1,
    *,
    without_masks: Annotated[bool, typer.Option(help="Hide the masks from the training.")] = False,
) -> None:
    """Train and measure what is not measured yet, and print the table."""
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in pack or PACKS:
        for fold in range(folds):
            folder = out / f"{name}-{fold}{'-without-masks' if without_masks else ''}"
            report = folder / "scores.json"
            if not report.exists():
                measure(data / name, fold, folder, report, masks=not without_masks)
            minutes = json.loads((folder / "minutes.json").read_text())
            for row in rows_of(f"{name}, {fold}", HeatmapScores.model_validate_json(report.read_text()), minutes):
                print(f"| {' | '.join(row)} |", flush=True)


def measure(pack: Path, fold: int, folder: Path, report: Path, *, masks: bool) -> None:
    """Train on four fifths of the groups, and score the heatmaps on the fifth."""
    learn, test = split_fold(pack, fold, folder)
    link(pack / "masks", test / "masks")
    if masks:
        link(pack / "masks", learn / "masks")
    shutil.rmtree(folder / "model", ignore_errors=True)
    began = time.perf_counter()
    command("train", "--data", learn, "--out", folder / "model")
    (folder / "minutes.json").write_text(json.dumps((time.perf_counter() - began) / 60))
    command("score", "--model", folder / "model", "--data", test, "--curves", 4, "--report", report, of="explainer")


def rows_of(pack: str, scores: HeatmapScores, minutes: float) -> list[Sequence[str]]:
    """Return a line of the table for each label, and one for all images of defects together."""
    found = scores.false_heat
    rows: list[Sequence[str]] = []
    for name, label in scores.labels.items():
        sizes = "; ".join(
            f"up to {100 * size.largest:g} %: {size.pointing.value:.2f} of {size.images}" for size in label.by_size
        )
        false = found.labels.get(name) if found else None
        whole = found.share if found and not rows else None
        rows.append(
            (
                pack,
                f"{scores.method} at {', '.join(scores.layers)}",
                scores.chosen_by.value,
                name if label.for_label else f"not {name}",
                str(label.images),
                spread_of(label.pointing),
                f"{label.centre.value:.2f}",
                f"{label.random.value:.2f}",
                f"{label.empty.value:.2f}",
                sizes,
                f"{percent(false)}{f'; any label {percent(whole)}' if whole else ''}",
                str(found.images) if found else "",
                f"{minutes:.1f}",
            )
        )
    return rows


def spread_of(measured: Measured) -> str:
    """Return a figure with its interval."""
    return f"{measured.value:.2f} ({measured.low:.2f} – {measured.high:.2f})"


def percent(measured: Measured | None) -> str:
    """Return a share in percent with its interval."""
    if measured is None:
        return ""
    return f"{100 * measured.value:.1f} % ({100 * measured.low:.1f} – {100 * measured.high:.1f})"


if __name__ == "__main__":
    typer.run(main)
