"""Estimate what a plant needs: ``python -m deploy.capacity --lines 10 --fps 25 --width 640 --height 480``.

The estimate multiplies the number of frames by the cost of one frame. The default costs are those of the sample model,
measured as docs/performance.md says; measure your own model, and give its costs as options. Disk space for messages
that wait for an unavailable server is computed for the longest outage that the plant has to survive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from shared.topology import INFERENCE_FRAMES

DAY_SECONDS: Final = 86_400
JPEG_BYTES_PER_PIXEL: Final = 0.2
"""Bytes per pixel of a textured surface as JPEG of quality 90; a smooth surface needs half as much."""
VERDICT_BYTES: Final = 800
"""Bytes of a verdict with four labels in a queue."""
ARCHIVED_BYTES: Final = 150
"""Bytes of a verdict in the compressed archive; an upper estimate."""
HEATMAP_BYTES: Final = 10_000
"""Bytes of the heatmap of one label as PNG, of the size of the network's input (224 x 224: 4 to 20 KB)."""
BUCKET_BYTES_PER_LINE_AND_YEAR: Final = 15_600_000
"""Bytes of counts in Redis of a line with two cameras and four labels (benchmarks.quality: 156 MB for ten lines)."""
SLOTS_PER_LINE: Final = 25_000
"""Frames of a line that the dashboard can look up: flagged_frames + passed_frames."""
SLOT_BYTES: Final = 2_200
"""Bytes of such a frame in Redis, with its explanation (benchmarks.counting)."""
WORKERS: Final = (1, 2, 4, 8)
CAMERAS: Final = (1, 2, 4, 8, 16)
SEEN_DAYS: Final = 30
"""Days for which a redelivered verdict is recognised; this takes one bit per frame."""


@dataclass(frozen=True)
class Plant:
    """The frames that a plant captures."""

    lines: int
    cameras: int
    """Cameras of each line."""
    fps: float
    """Frames per second of each camera."""
    width: int
    height: int
    hours: float = 24.0
    """Working hours in a day."""
    flagged: float = 0.05
    """Share of frames that are NG or unsure."""
    labels: int = 4
    outage_hours: float = 1.0

    @property
    def frames_per_second(self) -> float:
        """The frames per second of all cameras together."""
        return self.lines * self.cameras * self.fps

    @property
    def megapixels(self) -> float:
        """The megapixels of an image."""
        return self.width * self.height / 1e6

    @property
    def image_bytes(self) -> float:
        """The bytes of an image as JPEG."""
        return self.width * self.height * JPEG_BYTES_PER_PIXEL


@dataclass(frozen=True)
class Costs:
    """The processing time of one frame by stage, in milliseconds of one core."""

    network_ms: float = 7.5
    """Time of the sample model's network in fp32."""
    prepare_ms_per_megapixel: float = 11.0
    """Time to decode and scale a JPEG."""
    messages_ms: float = 0.5
    """Time to receive and acknowledge a frame, and to make and publish its verdict."""
    broker_ms: float = 1.5
    """Time of RabbitMQ for a frame to a worker and its verdict to the dashboard."""
    camera_ms: float = 0.7
    """Time of the camera to store a frame in its outbox and to publish it."""
    camera_ms_per_megapixel: float = 3.9
    """Time of the camera to encode an image as JPEG, and to move its bytes."""
    explain_ms: float = 14.2
    """Time of the heatmaps of a flagged frame, for four labels at 480 x 480 pixels."""
    utilisation: float = 0.7
    """Share of a core that the plan uses; the rest is for bursts."""

    def inference_ms(self, megapixels: float) -> float:
        """Return the time of a worker for a frame, of all its threads together."""
        return self.network_ms + self.prepare_ms_per_megapixel * megapixels + self.messages_ms


@dataclass(frozen=True)
class Need:
    """One line of the estimate."""

    what: str
    amount: str
    how: str


def estimate(plant: Plant, costs: Costs) -> list[Need]:
    """Return the servers, cores, disks and memory that a plant needs."""
    frames, a_day = plant.frames_per_second, plant.frames_per_second * plant.hours * 3600
    prepare_ms = costs.prepare_ms_per_megapixel * plant.megapixels
    # a worker runs the network in one thread, and prepares the next batch in another
    worker_ms = max(costs.network_ms, prepare_ms) / costs.utilisation
    inference_ms = costs.inference_ms(plant.megapixels)
    explained = frames * plant.flagged
    return [
        Need("frames per second", f"{frames:,.0f}", "lines x cameras x fps"),
        Need("inference workers", _count(frames * worker_ms / 1000), "frames x the slower of network and preparation"),
        Need("cores of inference", _cores(frames, inference_ms, costs), "network + preparation + messages"),
        Need("cores of RabbitMQ", _cores(frames, costs.broker_ms, costs), "frames x broker"),
        Need("cores of explainers", _cores(explained, costs.explain_ms, costs), "flagged frames x explanation"),
        Need("network into RabbitMQ", f"{frames * plant.image_bytes * 8 / 1e6:,.0f} Mbit/s", "frames x image"),
        Need(
            "network out of RabbitMQ",
            f"{frames * (plant.image_bytes + VERDICT_BYTES) * 8 / 1e6:,.0f} Mbit/s",
            "images to the workers, verdicts to the dashboard",
        ),
        *_disks(plant, a_day),
        _memory_of_redis(plant, a_day),
    ]


def _disks(plant: Plant, frames_a_day: float) -> list[Need]:
    outage = plant.outage_hours * 3600
    outbox = plant.fps * plant.image_bytes * outage
    waiting = min(INFERENCE_FRAMES.limit_bytes, INFERENCE_FRAMES.limit * plant.image_bytes)
    verdicts = plant.frames_per_second * VERDICT_BYTES * outage
    flagged = plant.image_bytes * 2 + plant.labels * HEATMAP_BYTES  # the overlay is as large as the image
    stored = frames_a_day * (plant.flagged * flagged + ARCHIVED_BYTES)
    return [
        Need("disk of a camera's outbox", _bytes(outbox), "image x fps x outage of RabbitMQ"),
        Need("frames in an outbox", f"{plant.fps * outage:,.0f}", "CAMERA_OUTBOX_FRAMES, at least"),
        Need("disk of RabbitMQ", _bytes(waiting + verdicts), "the full queue of frames + verdicts x outage"),
        Need("object storage per day", _bytes(stored), "flagged x (image + overlay + heatmaps) + archive"),
        Need("object storage per year", _bytes(stored * 365), "the same"),
    ]


def _memory_of_redis(plant: Plant, frames_a_day: float) -> Need:
    seen = frames_a_day * SEEN_DAYS / 8 * (1 + plant.flagged)
    counts = plant.lines * BUCKET_BYTES_PER_LINE_AND_YEAR * (1 + plant.cameras) / 3
    found = plant.lines * SLOTS_PER_LINE * SLOT_BYTES
    return Need("memory of Redis", _bytes(seen + counts + found), "seen frames + a year of counts + frames to look up")


def _count(number: float) -> str:
    return f"{max(1, math.ceil(number)):,}"


def _cores(frames_per_second: float, milliseconds: float, costs: Costs) -> str:
    return f"{frames_per_second * milliseconds / 1000 / costs.utilisation:,.1f}"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def table(needs: Sequence[Need]) -> str:
    """Return the estimate as a table in Markdown."""
    rows = [f"| {need.what} | {need.amount} | {need.how} |" for need in needs]
    return "\n".join(["| what | amount | computed from |", "|---|---|---|", *rows])


def growth_by_workers(plant: Plant, costs: Costs) -> str:
    """Return a table of the frames per second of 1 to 8 workers, each with a core that is always busy."""
    rate = 1000 / costs.inference_ms(plant.megapixels)
    rows = [f"| {n} | {n * rate:,.0f} | {n * rate * costs.broker_ms / 1000:.1f} |" for n in WORKERS]
    return "\n".join(["| workers, each with a core | frames/s | cores of RabbitMQ |", "|---|---|---|", *rows])


def growth_by_cameras(plant: Plant, costs: Costs) -> str:
    """Return a table of the cores that 1 to 16 cameras of the plant need."""
    camera_ms = costs.camera_ms + costs.camera_ms_per_megapixel * plant.megapixels
    stages = (camera_ms, costs.inference_ms(plant.megapixels), costs.broker_ms, plant.flagged * costs.explain_ms)
    rows = []
    for cameras in CAMERAS:
        frames = cameras * plant.fps
        cores = " | ".join(_cores(frames, milliseconds, costs) for milliseconds in (*stages, sum(stages)))
        rows.append(f"| {cameras} | {frames:,.0f} | {cores} |")
    head = "| cameras | frames/s | cores of cameras | of workers | of RabbitMQ | of explainers | of all |"
    return "\n".join([head, f"|{'---|' * 7}", *rows])


def main(
    *,
    lines: Annotated[int, typer.Option(min=1, help="Production lines.")] = 1,
    cameras: Annotated[int, typer.Option(min=1, help="Cameras of each line.")] = 1,
    fps: Annotated[float, typer.Option(min=0.01, help="Frames per second of each camera.")] = 25.0,
    width: Annotated[int, typer.Option(min=1, help="Width of an image, in pixels.")] = 640,
    height: Annotated[int, typer.Option(min=1, help="Height of an image, in pixels.")] = 480,
    hours: Annotated[float, typer.Option(min=0.1, max=24, help="Working hours in a day.")] = 24.0,
    flagged: Annotated[float, typer.Option(min=0, max=1, help="Share of frames that are NG or unsure.")] = 0.05,
    labels: Annotated[int, typer.Option(min=1, help="Labels of the recipe.")] = 4,
    outage_hours: Annotated[float, typer.Option(min=0, help="Longest outage that the plant has to survive.")] = 1.0,
    network_ms: Annotated[
        float, typer.Option(min=0.01, help="Milliseconds of the network in one thread, per frame.")
    ] = Costs.network_ms,
    growth: Annotated[
        bool, typer.Option("--growth", help="Print how the cost grows with workers and cameras.")
    ] = False,
) -> None:
    """Print the servers, cores, disks and memory that a plant needs."""
    plant = Plant(lines, cameras, fps, width, height, hours, flagged, labels, outage_hours)
    costs = Costs(network_ms=network_ms)
    tables = (
        [growth_by_workers(plant, costs), growth_by_cameras(plant, costs)]
        if growth
        else [table(estimate(plant, costs))]
    )
    print("\n\n".join(tables))  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
