"""Trainings by a cluster, as two hosts would do them, and by one process alone: forked, so that TensorFlow loads once.

usage: unshare --map-root-user --net python -m tests.cluster_members STROKES FOLDER

In a network of its own, since TensorFlow's servers listen on all interfaces. Each process leaves ``<name>.log``,
``<name>.code`` with its exit code, and maybe a model, in FOLDER.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from shared.recipe import ImageSpec
from tests.strokes import STROKES

if TYPE_CHECKING:
    import keras

PORTS = (12_001, 12_002)
"""Of the chief and the worker."""
OPTIONS = (
    "--architecture=normalising",
    "--epochs=3",
    "--batch-size=16",
    "--split=0.6,0.2,0.2",
    "--precision=float32",
    "--variants=fp32",
    "--mistakes=0",
    "--no-report",
)
SET_FLAGS, UP = 0x8914, 1
"""Of a network interface: see netdevice(7)."""


@dataclass(frozen=True)
class Trainer:
    """Where the processes take their images from, and leave what they make."""

    strokes: Path
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.npz"

    def start(self, name: str, *options: str, seat: int | None = None, first: Callable[[], None] | None = None) -> int:
        """A process of the command, in a seat of the cluster; ``first`` runs in it before."""
        given = (f"--data={self.strokes}", f"--recipe={self.folder / 'strokes.yaml'}", f"--out={self.folder / name}")
        process = os.fork()
        if process == 0:
            if first:
                first()
            if seat is not None:
                cluster = {"worker": [f"127.0.0.1:{port}" for port in PORTS]}
                os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": seat}})
            run(self.folder / f"{name}.log", ["train", *given, *OPTIONS, *options])
        return process

    def finish(self, **processes: int) -> None:
        """Wait for the end of all."""
        for name, process in processes.items():
            _, status = os.waitpid(process, 0)
            (self.folder / f"{name}.code").write_text(str(os.waitstatus_to_exitcode(status)))


def main(trainer: Trainer) -> None:
    allow_loopback()
    load()
    (trainer.folder / "strokes.yaml").write_text(STROKES)
    alone = trainer.start("alone")
    kept = f"--checkpoint={trainer.checkpoint}"
    killed = trainer.start("killed_worker", seat=1)
    missing = trainer.start("missing_chief", kept, seat=0, first=lambda: kill_at_checkpoint(killed, trainer.checkpoint))
    trainer.finish(killed_worker=killed, missing_chief=missing)
    trainer.finish(chief=trainer.start("chief", kept, seat=0), worker=trainer.start("worker", seat=1), alone=alone)


def allow_loopback() -> None:
    """In a new network, it is down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))


def load() -> None:
    """TensorFlow, without running it, and a network to train."""
    from services.trainer.cli.commands import training_module

    training_module()
    from services.trainer.architectures.architecture import Architecture
    from services.trainer.architectures.registry import ARCHITECTURES

    ARCHITECTURES["normalising"] = Architecture("normalising", "a moment's network", build_normalising, 16, 1e-2, 1e-2)


def build_normalising(image: ImageSpec, labels: int) -> keras.Model:
    """A small network whose answers depend on the statistics of its batches."""
    from keras import Model, layers

    inputs = layers.Input(image.shape)
    convolved = layers.Conv2D(4, 4, 4, use_bias=False)(inputs)  # before a normalisation, a bias is noise to Adam
    features = layers.ReLU(name="features")(layers.BatchNormalization()(convolved))
    pooled = layers.GlobalMaxPooling2D()(features)
    return Model(inputs, layers.Dense(labels, name="logits")(pooled))


def run(log: Path, words: list[str]) -> NoReturn:
    """The command, with its exit code as this process's."""
    from services.trainer.cli.commands import app

    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    app(words)
    raise AssertionError("a command ends with its exit code")


def kill_at_checkpoint(victim: int, checkpoint: Path) -> None:
    """Kill a process when this one is about to put its first checkpoint in its place."""

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and arguments[1] == str(checkpoint):
            os.kill(victim, signal.SIGKILL)

    sys.addaudithook(hear)


if __name__ == "__main__":
    main(Trainer(Path(sys.argv[1]), Path(sys.argv[2])))
