"""What an explanation costs: frames explained for all their labels against the same frames inspected, in one run.

    python -m benchmarks.explaining [--architecture compact] [--size 128] [--batch 8] [--rounds 15]
    python -m benchmarks.explaining --model samples/model

Two comparisons, each of a batch of the same frames:

- **the network alone**: a batch of prepared images to logits, against the same batch to the maps of every label;
- **the whole way**: JPEGs decoded, prepared, judged by the recipe, against JPEGs decoded, prepared, looked at, and for
  each frame a map of each label brought to the image's size with its peak and box and encoded as PNG, and the overlay
  of all labels encoded as JPEG. Without queues and object storage, which both have.

Everything is measured in turn, round by round, so that whatever else the machine does hits all alike; each number is
the median of its rounds. Processor time counts all threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import keras
import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.inference import LABELS, Measured
from samples.still import draw_seam
from services.explainer.loading import use_threads
from services.explainer.overlay import overlay
from services.trainer.architectures.registry import architecture_of
from services.trainer.heatmaps.options import HeatmapOption, heatmap_options
from shared.contracts.bundle import read_bundle_folder
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Images
from shared.explain.cam import METHODS, GradientProbe
from shared.explain.network import by_openvino, read_network, target_layer_of
from shared.explain.rendering import heat_of
from shared.explain.targets import Maps
from shared.imaging.codec import Image, decode, encode
from shared.imaging.preprocessing import prepare
from shared.recipe import ImageSpec, Recipe, parse_recipe
from shared.verdict import judge, scores_of

SIDE = 480
"""Of the camera's images, in pixels."""


@dataclass(frozen=True)
class Subject:
    """The model and the images that are measured."""

    name: str
    network: keras.Model
    recipe: Recipe


def with_random_weights(architecture: str, size: int) -> Subject:
    """Return a network of an architecture with random weights, on which its cost does not depend."""
    labels = "\n".join(f"  label{key}: {{key: '{key}', colour: '#0000{key}0', role: defect}}" for key in range(LABELS))
    recipe = parse_recipe(f"name: benchmark\ntask: multi-label\nlabels:\n{labels}\n")
    recipe = recipe.model_copy(update={"image": ImageSpec(height=size, width=size)})
    return Subject(architecture, architecture_of(architecture).build(recipe.image, LABELS), recipe)


def of_bundle(folder: Path) -> Subject:
    """Return the network of a bundle."""
    bundle = read_bundle_folder(folder)
    return Subject(bundle.manifest.architecture, read_network(bundle), bundle.recipe)


def judge_images(engine: OpenVinoEngine, recipe: Recipe, files: list[bytes]) -> object:
    """Inspect the frames, from images to verdicts."""
    images = np.stack([prepare(decode(file), recipe.image) for file in files])
    return [judge(recipe, scores) for scores in scores_of(engine.logits(images), recipe.task)]


def explain_images(probe: GradientProbe, recipe: Recipe, files: list[bytes]) -> object:
    """Explain the frames, from images to the stored files."""
    images = [decode(file) for file in files]
    maps = maps_of(probe, recipe, np.stack([prepare(image, recipe.image) for image in images]))
    labels = len(recipe.labels)
    return [encode_overlays(image, recipe, maps[row * labels :][:labels]) for row, image in enumerate(images)]


def maps_of(probe: GradientProbe, recipe: Recipe, images: Images) -> Maps:
    """Compute the heatmaps of every label of each image."""
    asked = [(row, label, True) for row in range(len(images)) for label in range(len(recipe.labels))]
    return probe.maps(images, asked)


def encode_overlays(image: Image, recipe: Recipe, maps: Maps) -> list[bytes]:
    """Render one frame: heat at the image's size, a PNG per label, and the overlay."""
    heats = [heat_of(map_, *image.shape[:2]) for map_ in maps]
    layers = [(heat.pixels, label.colour) for heat, label in zip(heats, recipe.labels, strict=True)]
    return [*(encode(heat.pixels, "png") for heat in heats), encode(overlay(image, layers), "jpeg")]


def measurements(subject: Subject, batch: int, threads: int) -> list[tuple[Measured, Measured]]:
    """Return everything that is measured, each with its baseline."""
    network, recipe = subject.network, subject.recipe
    variant, layer, labels = compile_for_openvino(network), target_layer_of(network, recipe), len(recipe.labels)
    engine = OpenVinoEngine(variant.xml, variant.weights, threads)
    files = [encode(draw_seam(number, size=SIDE).image, "jpeg") for number in range(batch)]
    images = np.stack([prepare(decode(file), recipe.image) for file in files])
    alone = Measured("network alone: judged", batch, partial(engine.logits, images))
    whole = Measured("whole way: judged", batch, partial(judge_images, engine, recipe, files))
    compared = [(alone, alone)]
    at_last = [HeatmapOption(method, (layer,)) for method in METHODS]
    for method, layers in dict.fromkeys([*at_last, heatmap_options(network, recipe)[0]]):
        probe = GradientProbe(network, layers, method, partial(by_openvino, threads=threads))
        name = f"network alone: {labels} labels explained, {method} at {', '.join(layers)}"
        compared.append((Measured(name, batch, partial(maps_of, probe, recipe, images)), alone))
    by_keras = partial(maps_of, GradientProbe(network, [layer]), recipe, images)
    compared.append((Measured(f"the same with TensorFlow's features, {next(iter(METHODS))}", batch, by_keras), alone))
    all_of_it = partial(explain_images, probe, recipe, files)
    return [*compared, (whole, whole), (Measured(f"whole way: {labels} labels explained", batch, all_of_it), whole)]


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
