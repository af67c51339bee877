"""Measure and show the heatmaps of models in folders. This module imports TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from services.explainer.cli.marked import good_images, known_images, marked_images, random_sample, training_images
from services.explainer.cli.requests import Request, WrongRequest, read_request
from services.explainer.cli.showing import ExplainedImage, Row, draw_side_by_side
from shared.contracts.bundle import read_bundle_folder
from shared.engines.bundled_references import references_of
from shared.explain.metrics import HeatmapScores, LabelHeatmaps, Measured, Subject, score_heatmaps
from shared.explain.network import read_network
from shared.explain.probes import subject_of
from shared.explain.rendering import heat_of
from shared.explain.scale import shade_for
from shared.explain.targets import questions_about
from shared.imaging.codec import encode
from shared.imaging.preprocessing import prepare
from shared.imaging.references import NotAligned
from shared.label_names import ascii_caption
from shared.verdict import judge

SUFFIXES: Final[dict[str, Literal["jpeg", "png"]]] = {".jpg": "jpeg", ".png": "png"}
COLUMNS: Final = ("pointing", "centre", "random", "energy", "area", "empty", "deletion", "insertion", "alike")


def score(
    models: Sequence[Path], data: Path, *, images: int | None, most: int, curves: int, seed: int
) -> dict[str, HeatmapScores]:
    """Measure the heatmaps of models on the same images of a folder, none of which trained one of the models.

    Returns:
        The scores by model version, in the order of ``models``.

    Raises:
        BundleError: a model can't be used.
        MarkedFolderError: the folder can't be used.
        WrongRequest: two models have the same version.
        UnreadableImage: an image or a mask can't be decoded.
    """
    bundles = {bundle.version: bundle for bundle in map(read_bundle_folder, models)}
    if len(bundles) < len(models):
        raise WrongRequest("two of these models have the same version: give each once")
    learned, known = (frozenset[str]().union(*map(of, bundles.values())) for of in (training_images, known_images))
    found = {}
    for version, bundle in bundles.items():
        marked = random_sample(marked_images(data, bundle.recipe, learned), images, seed)
        good = good_images(data, bundle.recipe, known)
        subject = subject_of(read_network(bundle), bundle.recipe, bundle.manifest.heatmaps, references_of(bundle))
        found[version] = score_heatmaps(subject, marked, good, most=most, most_curves=curves, seed=seed)
    return found


def as_json(scores: Mapping[str, HeatmapScores]) -> str:
    """Return the scores of one model, or of several by their versions, as JSON."""
    if len(scores) == 1:
        return next(iter(scores.values())).model_dump_json(indent=1)
    return json.dumps({version: of_model.model_dump(mode="json") for version, of_model in scores.items()}, indent=1)


def show(model: Path, images: Sequence[str], out: Path, rows: Sequence[Row], side: int) -> None:
    """Judge and explain images, and draw all of them into one image.

    Raises:
        BundleError: the model can't be used.
        WrongRequest: an image or label does not exist, or ``out`` is not an image file.
        UnreadableImage: a file is not an image.
    """
    if out.suffix not in SUFFIXES:
        raise WrongRequest(f"{out}: write a {' or '.join(SUFFIXES)}")
    bundle = read_bundle_folder(model)
    subject = subject_of(read_network(bundle), bundle.recipe, bundle.manifest.heatmaps, references_of(bundle))
    explained = []
    for word in images:
        try:
            explained.append(_explained(read_request(word, bundle.recipe), subject))
        except NotAligned as error:
            raise NotAligned(f"{word}: {error}") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(encode(draw_side_by_side(explained, rows, side), SUFFIXES[out.suffix]))


def _explained(request: Request, subject: Subject) -> ExplainedImage:
    recipe, image = subject.recipe, request.image
    prepared = prepare(image, recipe.image, subject.references)[np.newaxis]
    judgement = judge(recipe, subject.scores(prepared)[0])
    questions = questions_about(judgement.findings, recipe, request.labels)
    maps = subject.probe.maps(prepared, [(0, question.output, question.for_label) for question in questions])
    layers, caption = [], []
    for map_, question in zip(maps, questions, strict=True):
        finding = judgement.findings[question.label.name]
        shade = shade_for(subject.spec, question, finding.score)
        heat = heat_of(map_, image.shape[0], image.shape[1], 1.0 if shade is None else shade)
        layers.append((heat.pixels, question.label.colour))
        caption.append(
            (
                f"{'' if finding.present else 'not '}{ascii_caption(question.label.name)} {finding.score:.2f}",
                question.label.colour,
            )
        )
    return ExplainedImage(image, layers, caption)


def table_of(scores: HeatmapScores) -> str:
    """Return scores as a Markdown table, with the heat of good images below it."""
    head = (
        f"{scores.method} at {', '.join(scores.layers)}, chosen by {scores.chosen_by}; "
        f"a peak may lie {100 * scores.tolerance:.0f} % of the shorter side outside the mask"
    )
    rows = []
    for name, label in scores.labels.items():
        trust = {True: "yes", False: "no", None: "not known"}[label.trustworthy]
        trust += f": {label.reason}" if label.reason else ""
        cells = " | ".join(_cell(label, column) for column in COLUMNS)
        sizes = "; ".join(
            f"{100 * size.smallest:g} to {100 * size.largest:g} %: {size.pointing.value:.2f} of {size.images}"
            for size in label.by_size
        )
        shown = name.replace("|", "\\|")
        rows.append(f"| {shown} | {label.images} | {cells} | {sizes} | {trust} |")
    if heat := scores.false_heat:
        labels = ", ".join(f"{name} {100 * share.value:.1f} %" for name, share in heat.labels.items())
        false_heat = (
            f"False heat: {100 * heat.share.value:.1f} % ({100 * heat.share.low:.1f} – {100 * heat.share.high:.1f}) "
            f"of {heat.images} good images have heat for any label ({labels})"
        )
    else:
        false_heat = "False heat was not measured: no image of a good part was left out of the training."
    titles = ("label", "images", *COLUMNS, "pointing by size of the defect", "trustworthy")
    return "\n".join([head, "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *rows, "", false_heat])


def _cell(label: LabelHeatmaps, column: str) -> str:
    """Format a value with its interval, or, for the curves, beside the value of a random map."""
    found: Measured = getattr(label, column)
    random: Measured | None = getattr(label, f"{column}_random", None)
    if random is not None:
        return f"{found.value:.2f} (random {random.value:.2f})"
    if column in ("random", "area"):
        return f"{found.value:.2f}"
    return f"{found.value:.2f} ({found.low:.2f} – {found.high:.2f})"
