"""The commands' work: models out of folders, measured and shown. Importing this imports TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from services.explainer.marked import learned_from, marked_pictures
from shared.heatmaps.gradients import subject_of
from shared.heatmaps.network import read_network
from shared.heatmaps.scores import HeatmapScores, LabelHeatmaps, Measured
from shared.heatmaps.scoring import score_heatmaps
from shared.vision.bundle import read_bundle_folder

COLUMNS: Final = ("pointing", "centre", "random", "energy", "area", "deletion", "insertion", "alike")


def score(model: Path, data: Path, *, most: int, curves: int, seed: int) -> HeatmapScores:
    """Measure the heatmaps of a bundle on the marked pictures of a folder.

    Raises:
        BundleError: the model can't be used.
        MarkedFolderError: the folder lacks something.
        UnreadablePicture: a picture or mask is no picture.
    """
    bundle = read_bundle_folder(model)
    marked = marked_pictures(data, bundle.recipe, learned_from(bundle))
    subject = subject_of(read_network(bundle), bundle.recipe, bundle.manifest.target_layer)
    return score_heatmaps(subject, marked, most=most, most_curves=curves, seed=seed)


def table_of(scores: HeatmapScores) -> str:
    """Scores as a table in Markdown."""
    head = (
        f"{scores.method} at layer {scores.layer}; "
        f"a peak may lie {100 * scores.tolerance:.0f} % of the shorter side beside the mask"
    )
    rows = [
        f"| {name} | {label.pictures} | {' | '.join(_cell(label, column) for column in COLUMNS)} | {_trust(label)} |"
        for name, label in scores.labels.items()
    ]
    titles = ("label", "pictures", *COLUMNS, "trustworthy")
    return "\n".join([head, "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *rows])


def _cell(label: LabelHeatmaps, column: str) -> str:
    """A number with its interval; of the curves, beside the number of a map drawn by lot."""
    found: Measured = getattr(label, column)
    by_lot: Measured | None = getattr(label, f"{column}_random", None)
    if by_lot is not None:
        return f"{found.value:.2f} (by lot {by_lot.value:.2f})"
    if column in ("random", "area"):
        return f"{found.value:.2f}"
    return f"{found.value:.2f} ({found.low:.2f} – {found.high:.2f})"


def _trust(label: LabelHeatmaps) -> str:
    return {True: "yes", False: "no", None: "not known"}[label.trustworthy] + (f": {label.reason}" * bool(label.reason))
