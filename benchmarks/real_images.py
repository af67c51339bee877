"""Run the line on real images: train, play a real video or folder through all five services, compare with the truth.

    python -m benchmarks.real_images fabric|fruit|seams [--data ../shared/data] [--out var/real]

Prints one table each; `docs/measurements.md` keeps what was measured, with the date and the machine.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from shared.messages import FrameExplained, FrameInspected, Message, Verdict, decode

app = typer.Typer(help=__doc__, no_args_is_help=True)
Data = Annotated[Path, typer.Option(help="Folder of the image packs.")]
Out = Annotated[Path, typer.Option(help="Folder for the models and the data of the line.")]
DATA = Path(os.environ.get("SEAMLINE_DATA", "../shared/data"))
OUT = Path("var/real")
RECIPES = Path(__file__).parents[1] / "samples" / "recipes"
SAMPLE_MODEL = Path(__file__).parents[1] / "samples" / "model"


BELT = "190,118,96,96"
"""Of the frames of the belt: where one thing lies at a time."""
ON_THE_BELT = {"apple": range(14, 21), "orange": range(90, 96)}
"""Frames that show most of a fruit; the others show a vegetable, a piece of something, or nothing."""


def run(module: str, *words: str | Path, **environment: str) -> str:
    """Run one of our commands, and return its standard output."""
    command = [sys.executable, "-m", module, *map(str, words)]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ).stdout


def train(data: Path, recipe: Path, out: Path, *options: str) -> None:
    """Train unless the bundle exists already."""
    if not (out / "manifest.json").exists():
        run("services.trainer", "train", "--data", data, "--recipe", recipe, "--out", out, *options)


def play(source: Path, model: Path, frames: int, state: Path, **environment: str) -> dict[str, Any]:
    """Play a source through the line, and return the summary that it prints."""
    words = ("--source", source, "--model", model, "--frames", str(frames), "--state", state)
    out = run("deploy.embedded", *words, **environment)
    return dict(json.loads(out.splitlines()[-1]))


def archived(state: Path) -> Iterator[Message]:
    """Return every message in the archive."""
    for segment in sorted((state / "objects" / "verdicts").rglob("*.gz")):
        yield from map(decode, gzip.decompress(segment.read_bytes()).splitlines(keepends=True))


def verdicts(state: Path) -> list[FrameInspected]:
    """Return one verdict per frame, in the order of capture."""
    found = {message.frame.sequence: message for message in archived(state) if isinstance(message, FrameInspected)}
    return [found[sequence] for sequence in sorted(found)]


def subset(data: Path, out: Path, keep: Callable[[str], bool]) -> Path:
    """The pack without the groups that `keep` does not want; images are linked, not copied."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "images").exists():
        (out / "images").symlink_to((data / "images").resolve())
    groups = {row["name"]: row["group"] for row in csv.DictReader((data / "groups.csv").open())}
    for name in ("labels.csv", "groups.csv"):
        with (data / name).open() as source, (out / name).open("w", newline="") as target:
            rows = csv.reader(source)
            csv.writer(target).writerows([next(rows), *(row for row in rows if keep(groups[row[0]]))])
    return out


@app.command()
def fabric(data: Data = DATA, out: Out = OUT, architecture: str = "efficientnet-lite0", epochs: int = 12) -> None:
    """Train on woven fabric; inspect strips of fabric that no training image was cut from."""
    video = data / "line_videos" / "fabric_strip_dev.mp4"
    truth = list(csv.DictReader(video.with_suffix(".csv").open()))
    shown = {row["source"] for row in truth}
    pack = subset(data / "aitex_fabric", out / "fabric", lambda group: not any(strip in group for strip in shown))
    model = out / f"fabric-{architecture}"
    options = ("--architecture", architecture, "--epochs", str(epochs), "--seed", "1", "--split", "0.75,0.24,0.01")
    train(pack, RECIPES / "fabric.yaml", model, *options)
    summary = play(video, model, len(truth), out / "fabric-line")
    print(json.dumps(summary))
    judged = list(zip(truth, verdicts(out / "fabric-line"), strict=True))
    clear = [(row, verdict) for row, verdict in judged if row["state"] != "ignore"]
    print(f"frames {len(judged)}, ignored {len(judged) - len(clear)} (defect partly in view)")
    ng = sum(verdict.verdict is Verdict.NG for _, verdict in clear) / len(clear)
    true = sum(row["good"] != "True" for row, _ in clear) / len(clear)
    print(f"defect rate measured {ng:.2%}, true {true:.2%}")
    table = Counter((_kind(row), verdict.verdict.value) for row, verdict in clear)
    print("| truth | ok | ng | error |\n|---|---|---|---|")
    for kind in ("good", "broken_yarn", "fuzzyball", "other"):
        print(f"| {kind} | " + " | ".join(str(table[kind, verdict.value]) for verdict in Verdict) + " |")


def _kind(row: dict[str, str]) -> str:
    return next(name for name in ("good", "broken_yarn", "fuzzyball", "other") if row[name] == "True")


@app.command()
def fruit(data: Data = DATA, out: Out = OUT, architecture: str = "efficientnet-lite0", epochs: int = 6) -> None:
    """Train the exclusive recipe on fruit; play fruit on a belt; put the heatmaps into one image."""
    model = out / f"fruit-{architecture}"
    options = ("--architecture", architecture, "--epochs", str(epochs))
    train(data / "fruits360", RECIPES / "fruit.yaml", model, *options)
    video = data / "line_videos" / "fruit_conveyor.mp4"
    state = out / "fruit-line"
    print(json.dumps(play(video, model, 101, state, CAMERA_ROI=BELT)))
    winners = [
        next(name for name, finding in verdict.findings.items() if finding.present) for verdict in verdicts(state)
    ]
    for fruit_name, frames in ON_THE_BELT.items():
        print(f"{fruit_name} on the belt, {len(frames)} frames: {dict(Counter(winners[frame] for frame in frames))}")
    print(f"all frames: {dict(Counter(winners))}")
    _sheet(state, [message for message in archived(state) if isinstance(message, FrameExplained)], out / "fruit.png")


@app.command()
def seams(data: Data = DATA, out: Out = OUT, model: Path = SAMPLE_MODEL) -> None:
    """Play photographs of real seams through the model that was trained on drawn ones."""
    pack = data / "stitching_seams"
    truth = {row["name"]: row for row in csv.DictReader((pack / "labels.csv").open())}
    names = sorted(truth)
    state = out / "seams-line"
    print(json.dumps(play(pack / "images", model, len(names), state)))
    found = verdicts(state)
    print("| label | correct | true found | false alarms |\n|---|---|---|---|")
    for label in ("good", "error", "break"):
        real = np.array([truth[name][label] == "True" for name in names])
        seen = np.array([verdict.findings[label].present for verdict in found])
        hits, alarms = (real & seen).sum(), (~real & seen).sum()
        print(f"| {label} | {(real == seen).mean():.1%} | {hits} of {real.sum()} | {alarms} of {(~real).sum()} |")
    ng = [verdict.verdict is Verdict.NG for verdict in found]
    right = sum(flag != (truth[name]["good"] == "True") for name, flag in zip(names, ng, strict=True))
    print(f"verdicts right: {right} of {len(names)}")


def _sheet(state: Path, explained: list[FrameExplained], out: Path, columns: int = 8) -> None:
    """Return the overlays of evenly spaced frames in one image."""
    kept = sorted((message for message in explained if message.overlay_key), key=lambda message: message.frame.sequence)
    chosen = kept[:: max(1, len(kept) // (columns * 3))][: columns * 3]
    images = [cv2.imread(str(state / "objects" / str(message.overlay_key))) for message in chosen]
    small = [cv2.resize(image, (180, 180)) for image in images if image is not None]
    small += [np.zeros_like(small[0])] * (-len(small) % columns)
    rows = [np.hstack(small[start : start + columns]) for start in range(0, len(small), columns)]
    cv2.imwrite(str(out), np.vstack(rows))
    print(f"heatmaps: {out}")


if __name__ == "__main__":
    app()
