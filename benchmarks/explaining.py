"""What an explanation costs: a batch explained for all its labels against the same batch judged, in one run.

    python -m benchmarks.explaining [--architecture compact] [--size 128] [--batch 16] [--rounds 15]

Everything is measured in turn, round by round, so that whatever else the machine does hits all alike; each number is
the median of its rounds. Processor time counts all threads.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.inference import LABELS, Measured
from samples.still import draw_seam
from services.explainer.overlay import overlay
from services.trainer.architectures import architecture_of
from services.trainer.compile import compile_for_openvino
from shared.heatmaps.gradients import GradientProbe
from shared.heatmaps.heat import heat_of
from shared.heatmaps.network import target_layer_of
from shared.heatmaps.probe import Maps
from shared.recipe import NAMED_COLOURS, ExplanationMethod, PictureSpec, Recipe, parse_recipe
from shared.vision.codec import Picture, encode
from shared.vision.openvino_engine import OpenVinoEngine

SIDE = 480
"""Of the camera's pictures, in pixels."""
COLOURS = tuple(NAMED_COLOURS.values())[:LABELS]


def keep(picture: Picture, maps: Maps) -> None:
    """What follows for one frame: heat at the picture's size, a PNG per label, and the overlay."""
    heats = [heat_of(map_, *picture.shape[:2]) for map_ in maps]
    for heat in heats:
        encode(heat.pixels, "png")
    encode(overlay(picture, [(heat.pixels, colour) for heat, colour in zip(heats, COLOURS, strict=True)]), "jpeg")


def ways(architecture: str, recipe: Recipe, batch: int, threads: int) -> list[Measured]:
    """Everything that is compared; the first is what the others are compared with."""
    network = architecture_of(architecture).build(recipe.picture, LABELS)
    layer = target_layer_of(network, recipe)
    form = compile_for_openvino(network)
    judge = OpenVinoEngine(form.xml, form.weights, threads)
    pictures = np.random.default_rng(0).normal(size=(batch, *recipe.picture.shape)).astype(np.float32)
    asked = [(row, label, True) for row in range(batch) for label in range(LABELS)]
    measured = [Measured("judged on OpenVINO", batch, partial(judge.logits, pictures))]
    methods: tuple[ExplanationMethod, ...] = ("grad-cam", "grad-cam++", "layer-cam")
    for method in methods:
        probe = GradientProbe(network, layer, method)
        name = f"explained for {LABELS} labels, {method}"
        measured.append(Measured(name, batch, partial(probe.maps, pictures, asked)))
    seam, maps = draw_seam(0, size=SIDE).picture, probe.maps(pictures[:1], asked[:LABELS])
    measured.append(Measured(f"{LABELS} heatmaps and overlay of {SIDE} x {SIDE} encoded", 1, partial(keep, seam, maps)))
    return measured


def main(
    architecture: Annotated[str, typer.Option(help="One of the trainer's.")] = "compact",
    size: Annotated[int, typer.Option(help="Height and width of the pictures, in pixels.")] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Frames at once.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="Of OpenVINO.")] = 1,
) -> None:
    """Print the table."""
    labels = "\n".join(f"  label{key}: {{key: '{key}', colour: '#0000{key}0', role: defect}}" for key in range(LABELS))
    recipe = parse_recipe(f"name: benchmark\ntask: multi-label\nlabels:\n{labels}\n")
    recipe = recipe.model_copy(update={"picture": PictureSpec(height=size, width=size)})
    measured = ways(architecture, recipe, batch, threads)
    for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
        for one in measured:
            one.measure()
    print(f"{architecture}, {size} x {size}, {threads} thread\n")
    print("| | batch | processor ms/frame | times judged | frames/s |\n|---|---|---|---|---|")
    for one in measured:
        print(one.row(measured[0]))


if __name__ == "__main__":
    typer.run(main)
