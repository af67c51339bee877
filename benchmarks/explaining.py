"""What an explanation costs: frames explained against the same frames inspected, in one run.

    python -m benchmarks.explaining [--architecture compact] [--size 128] [--batch 8] [--rounds 15]
    python -m benchmarks.explaining --model samples/model

Two comparisons, each of a batch of the same frames, which show defects:

- **the network alone**: a batch of prepared images to logits, against the same batch to the maps of every label;
- **the whole way**: JPEGs decoded, prepared, judged by the recipe, against JPEGs decoded, prepared, explained by the
  explainer's own code, each heatmap encoded as PNG, and the overlay encoded as JPEG: for the labels that flagged each
  frame, as on a line, and for all labels. Without queues and object storage, which both have.

Everything is measured in turn, round by round, so that whatever else the machine does hits all alike; each number is
the median of its rounds. Processor time counts all threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import cv2
import keras
import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.inference import LABELS, Measured
from samples.still import draw_seam
from services.explainer.handler import Case, compute_heatmaps
from services.explainer.loading import use_threads
from services.explainer.models import Model
from services.explainer.overlay import overlay
from services.trainer.architectures.registry import architecture_of
from services.trainer.heatmaps.options import HeatmapOption, heatmap_options
from shared.contracts.bundle import HeatmapSpec, read_bundle_folder
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Images
from shared.explain.cam import METHODS, GradientProbe
from shared.explain.network import by_openvino, read_network, target_layer_of
from shared.explain.probes import probe_of
from shared.explain.targets import Maps
from shared.imaging.codec import decode, encode
from shared.imaging.preprocessing import prepare
from shared.messages import FrameInspected
from shared.recipe import ImageSpec, Recipe, parse_recipe
from shared.verdict import Judgement, judge, scores_of
from tests.models import captured

SIDE = 480
"""Of the camera's images, in pixels."""
DEFECTS: Final = ("break", "error")


@dataclass(frozen=True)
class Subject:
    """The model that is measured."""

    name: str
    network: keras.Model
    recipe: Recipe
    heatmaps: HeatmapSpec


def with_random_weights(architecture: str, size: int) -> Subject:
    """Return a network of an architecture with random weights, on which its cost does not depend."""
    labels = "\n".join(f"  label{key}: {{key: '{key}', colour: '#0000{key}0', role: defect}}" for key in range(LABELS))
    recipe = parse_recipe(f"name: benchmark\ntask: multi-label\nlabels:\n{labels}\n")
    recipe = recipe.model_copy(update={"image": ImageSpec(height=size, width=size)})
    network = architecture_of(architecture).build(recipe.image, LABELS)
    spec = HeatmapSpec(method="grad-cam", layers=(target_layer_of(network, recipe),))
    return Subject(architecture, network, recipe, spec)


def of_bundle(folder: Path) -> Subject:
    """Return the network of a bundle."""
    bundle = read_bundle_folder(folder)
    manifest = bundle.manifest
    return Subject(manifest.architecture, read_network(bundle), bundle.recipe, manifest.heatmaps)


def judge_images(engine: OpenVinoEngine, recipe: Recipe, files: Sequence[bytes]) -> list[Judgement]:
    """Inspect the frames, from images to verdicts."""
    images = np.stack([prepare(decode(file), recipe.image) for file in files])
    return [judge(recipe, scores) for scores in scores_of(engine.logits(images), recipe.task)]


def frames_of(judgements: Sequence[Judgement], recipe: Recipe) -> list[FrameInspected]:
    """Return inspected frames with these judgements."""
    return [
        FrameInspected(
            frame=captured(number, b"").frame,
            verdict=judgement.verdict,
            reason=judgement.reason,
            findings=judgement.findings,
            flagged=judgement.flagged,
            recipe=recipe.name,
            model_version="benchmark",
            at=datetime.now(UTC),
            latency_ms=0,
        )
        for number, judgement in enumerate(judgements)
    ]


def explain_images(
    model: Model, frames: Sequence[FrameInspected], files: Sequence[bytes], labels: tuple[str, ...]
) -> object:
    """Explain the frames, from images to the stored files; no labels: those that flagged each frame."""
    cases = [Case(frame, labels, decode(file)) for frame, file in zip(frames, files, strict=True)]
    compute_heatmaps(model, cases)
    return [stored_files(case) for case in cases]


def stored_files(case: Case) -> list[bytes]:
    """Encode the heatmaps of a frame, and their overlay."""
    assert case.image is not None
    layers = [(heat.pixels, question.label.colour) for question, heat, _ in case.heatmaps]
    return [*(encode(pixels, "png") for pixels, _ in layers), encode(overlay(case.image, layers), "jpeg")]


def maps_of(probe: GradientProbe, recipe: Recipe, images: Images) -> Maps:
    """Compute the maps of every label of each image."""
    asked = [(row, label, True) for row in range(len(images)) for label in range(len(recipe.labels))]
    return probe.maps(images, asked)


def measurements(subject: Subject, batch: int, threads: int) -> list[tuple[Measured, Measured]]:
    """Return everything that is measured, each with its baseline."""
    network, recipe = subject.network, subject.recipe
    variant, layer, labels = compile_for_openvino(network), target_layer_of(network, recipe), len(recipe.labels)
    engine = OpenVinoEngine(variant.xml, variant.weights, threads)
    seams = [draw_seam(number, defects={DEFECTS[number % len(DEFECTS)]}, size=SIDE) for number in range(batch)]
    files = [encode(seam.image, "jpeg") for seam in seams]
    images = np.stack([prepare(decode(file), recipe.image) for file in files])
    alone = Measured("network alone: judged", batch, partial(engine.logits, images))
    whole = Measured("whole way: judged", batch, partial(judge_images, engine, recipe, files))
    compared = [(alone, alone)]
    frames, see = frames_of(judge_images(engine, recipe, files), recipe), partial(by_openvino, threads=threads)
    at_last = [HeatmapOption(method, (layer,)) for method in METHODS]
    for method, layers in dict.fromkeys([*at_last, heatmap_options(network, recipe)[0]]):
        probe = GradientProbe(network, layers, method, see)
        name = f"network alone: {labels} labels explained, {method} at {', '.join(layers)}"
        compared.append((Measured(name, batch, partial(maps_of, probe, recipe, images)), alone))
    by_keras = partial(maps_of, GradientProbe(network, [layer]), recipe, images)
    compared.append((Measured(f"the same with TensorFlow's features, {next(iter(METHODS))}", batch, by_keras), alone))
    compared.append((whole, whole))
    finest = heatmap_options(network, recipe)[0]
    for spec in (subject.heatmaps, HeatmapSpec(method=finest.method, layers=finest.layers)):
        model = Model("benchmark", recipe, spec, probe_of(network, recipe, spec, see))
        for asked, names in (("its faults", ()), (f"{labels} labels", recipe.label_names)):
            name = f"whole way: {asked} explained, {spec.in_words}"
            compared.append((Measured(name, batch, partial(explain_images, model, frames, files, names)), whole))
    return compared


def main(
    architecture: Annotated[str, typer.Option(help="Architecture of the trainer.")] = "compact",
    size: Annotated[int, typer.Option(help="Height and width of the images, in pixels.")] = 128,
    *,
    model: Annotated[Path | None, typer.Option(help="Folder of a bundle, instead of an architecture.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Frames of a micro-batch.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each library.")] = 1,
) -> None:
    """Print the table."""
    use_threads(threads)
    cv2.setNumThreads(threads)
    subject = of_bundle(model) if model else with_random_weights(architecture, size)
    compared = measurements(subject, batch, threads)
    for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
        for one, _reference in compared:
            one.measure()
    spec = subject.recipe.image
    print(f"{subject.name}, {spec.height} x {spec.width}, images of {SIDE} x {SIDE}, {threads} thread\n")
    print("| | batch | processor ms/frame | times judged | frames/s |\n|---|---|---|---|---|")
    for one, reference in compared:
        print(one.row(reference))


if __name__ == "__main__":
    typer.run(main)
