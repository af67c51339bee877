"""Measure inference workers beside Celery, LitServe, BentoML and Ray Serve, on the same network and the same images.

    python -m benchmarks.peers [--rounds 3] [--frames 480] [--only celery --only ray] [--minutes 12]

Each peer has an environment of its own in ``var/peers``, with the locked packages of ``benchmarks/peers/requirements``,
which the first run installs. In each round everything starts in turn, with 1 and with 2 workers, so that nothing else
runs meanwhile; the ratios are those of the same round. In the first round the verdicts of each peer are compared with
those of the worker, and no peer is measured whose verdicts differ.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from rich.console import Console

from benchmarks.comparison import Rounds, Target
from benchmarks.peers.peer import PEERS, Environments, Peer, PeerFailed, RunningPeer, running
from benchmarks.scaling import draw_images, worker_title
from benchmarks.workers import BATCH, SIDE, BrokerServer, Workers
from shared.contracts.bundle import VARIANT_FILES, fastest_variant, read_bundle_folder
from shared.messages import FrameInspected
from shared.recipe import Recipe
from shared.verdict import judge, scores_by

WANTED: Final = 1.2
"""How many times the rate of each peer a worker is to have."""
WORKERS: Final = (1, 2)
WARM_UP: Final = 8 * BATCH
"""Frames that are inspected before those that are measured."""
SAME_SCORE: Final = 0.001
OURS: Final = "Seamline"
NAMES: Final = ", ".join(peer.name for peer in PEERS)

console = Console(stderr=True, soft_wrap=True)


def check_verdicts(peer: RunningPeer, verdicts: Sequence[FrameInspected], recipe: Recipe) -> float:
    """Return by how much a score of the peer differs from that of the worker at most.

    Raises:
        PeerFailed: a verdict or a finding differs, or a score by more than `SAME_SCORE`.
    """
    scores = scores_by(recipe, np.array(peer.answers(len(verdicts)).logits, np.float32))
    furthest = 0.0
    for number, (verdict, row) in enumerate(zip(verdicts, scores, strict=True)):
        judgement = judge(recipe, row)
        present = {label for label, finding in judgement.findings.items() if finding.present}
        expected = {label for label, finding in verdict.findings.items() if finding.present}
        if (judgement.verdict, present) != (verdict.verdict, expected):
            raise PeerFailed(f"its verdict on image {number} is {judgement.reason}, and not {verdict.reason}")
        apart = [abs(judgement.findings[label].score - finding.score) for label, finding in verdict.findings.items()]
        furthest = max(furthest, *apart)
    if furthest > SAME_SCORE:
        raise PeerFailed(f"a score differs by {furthest:.2g}")
    return furthest


class Comparison:
    """The rates of the worker and of the peers, round by round."""

    def __init__(self, folder: Path, environments: Environments, peers: Sequence[Peer], frames: int) -> None:
        """Draw the images, and start a RabbitMQ in a folder."""
        self._bundle = read_bundle_folder(Path("samples/model"))
        self._environments = environments
        self._peers = list(peers)
        self._images = draw_images()
        self._sent = [self._images[number % len(self._images)] for number in range(frames)]
        self._drawn = folder / "images"
        self._drawn.mkdir()
        for number, image in enumerate(self._images):
            (self._drawn / f"{number:03}.jpg").write_bytes(image)
        self._verdicts: list[FrameInspected] = []
        self._differences: dict[str, float] = {}
        self._failures: dict[str, str] = {}
        self._rates, self._costs = Rounds(), Rounds()
        self._broker = BrokerServer(folder)

    def measure(self, round_number: int) -> None:
        """Measure the worker and each peer once with each number of workers."""
        for count in WORKERS:
            self._measure_workers(f"round-{round_number}-{count}", count)
            for peer in list(self._peers):
                try:
                    self._measure_peer(peer, count)
                except (PeerFailed, TimeoutError, RuntimeError) as error:
                    console.print(f"{peer.title} is left out: {error}", style="red", markup=False)
                    self._failures[peer.title] = str(error)
                    self._peers.remove(peer)

    def _measure_workers(self, name: str, count: int) -> None:
        with Workers(self._broker, name, self._bundle, [None] * count).running() as workers:
            self._verdicts = self._verdicts or workers.verdicts(self._images)
            workers.inspect(self._sent[:WARM_UP])
            measured = workers.inspect(self._sent)
        self._add(OURS, count, measured.frames_per_second, measured.worker_ms)

    def _measure_peer(self, peer: Peer, count: int) -> None:
        network, _ = VARIANT_FILES[fastest_variant(self._bundle)]
        model = {
            "PEERS_NETWORK": str(Path("samples/model", network).absolute()),
            "PEERS_SIDE": str(self._bundle.recipe.image.height),
        }
        with running(
            peer, count, environments=self._environments, broker=self._broker, images=self._drawn, model=model
        ) as server:
            if peer.title not in self._differences:
                self._differences[peer.title] = check_verdicts(server, self._verdicts, self._bundle.recipe)
            server.answers(WARM_UP)
            answers = server.answers(len(self._sent))
        self._add(peer.title, count, answers.frames_per_second, answers.server_ms)
        self._costs.add(f"its client, {peer.title}, {worker_title(count)}", answers.client_ms)

    def _add(self, title: str, count: int, rate: float, processor_ms: float) -> None:
        console.print(f"{title}, {worker_title(count)}: {rate:.0f} frames/s", highlight=False)
        self._rates.add(f"{title}, {worker_title(count)}", rate)
        self._costs.add(f"{title}, {worker_title(count)}", processor_ms)

    def report(self) -> str:
        """Return the rates, the ratio to each peer, and the processor time, as tables in Markdown."""
        targets = [
            Target(f"{title} : {peer.title}", f"{OURS}, {title}", f"{peer.title}, {title}", WANTED)
            for peer in self._peers
            for title in map(worker_title, WORKERS)
        ]
        same = [
            f"{peer.title}: the same verdicts on {len(self._images)} images, scores differ by "
            f"{self._differences[peer.title]:.1g} at most"
            for peer in self._peers
        ]
        failed = [f"{title} was left out: {reason}" for title, reason in self._failures.items()]
        tables = [
            self._rates.figures("frames/s"),
            self._rates.ratios(targets),
            self._costs.figures("processor ms/frame"),
        ]
        variant = fastest_variant(self._bundle)
        head = f"{self._bundle.manifest.architecture}, {variant}, images of {SIDE} x {SIDE}, {os.cpu_count()} cores"
        return "\n\n".join([head, *tables, "\n".join([*same, *failed])])

    def close(self) -> None:
        """Stop RabbitMQ."""
        self._broker.remove()


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 3,
    frames: Annotated[int, typer.Option(min=160, help="Frames of each measurement.")] = 480,
    minutes: Annotated[float, typer.Option(help="No round begins that would end later than this.")] = 12.0,
    only: Annotated[list[str] | None, typer.Option(help=f"Measure this peer: {NAMES}; may be repeated.")] = None,
    environments: Annotated[Path, typer.Option(help="Folder of the peers' environments.")] = Path("var/peers"),
) -> None:
    """Print the rates, and the ratio of a worker to each peer."""
    if unknown := set(only or ()) - {peer.name for peer in PEERS}:
        raise typer.BadParameter(f"there is no peer {', '.join(unknown)}: choose from {NAMES}", param_hint="--only")
    began = time.monotonic()
    peers = [peer for peer in PEERS if not only or peer.name in only]
    installed = Environments(environments.absolute())
    for peer in peers:
        console.print(f"{peer.title}: installing its locked packages, unless they are in {environments / peer.name}")
        installed.install(peer.name)
    longest = 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Comparison(Path(folder), installed, peers, frames)) as comparison,
    ):
        for number in range(rounds):
            before = time.monotonic()
            if before - began + longest > 60 * minutes:
                console.print(f"ending after {number} rounds: a further one would take longer than {minutes:g} minutes")
                break
            console.print(f"round {number + 1} of {rounds}")
            comparison.measure(number)
            longest = max(longest, time.monotonic() - before)
        print(comparison.report())


if __name__ == "__main__":
    typer.run(main)
