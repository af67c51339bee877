"""The numbers that a training reckons in: float32, or, where the hardware is made for it, half as many bits.

Mixed precision is that of Micikevicius et al. 2018 (arXiv 1710.03740): layers reckon in 16 bits, weights, batch
normalisation, logits, loss and optimizer stay in float32. It is the matter of a twin that does the learning; the
network that is validated, kept and compiled is a plain float32 one all along.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import keras
import structlog
import tensorflow as tf
from keras import layers

from services.trainer.architectures.architecture import Architecture
from services.trainer.training.options import WrongOption
from shared.contracts.training import Precision

FLOAT32: Final = "float32"
FLOAT16: Final = "mixed_float16"
BFLOAT16: Final = "mixed_bfloat16"
POLICIES: Final = (FLOAT32, FLOAT16, BFLOAT16)

TENSOR_CORES: Final = (7, 0)
"""The compute capability from which on a GPU has them."""
BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})
CPU_INFO: Final = Path("/proc/cpuinfo")
IN_FLOAT32: Final = ("logits",)
"""Layers by name that the loss is reckoned from."""

_log = structlog.stdlib.get_logger("training")


@dataclass(frozen=True)
class Hardware:
    """What a training runs on."""

    name: str
    mixed: str | None
    """The policy of mixed precision that it is made for."""


@dataclass(frozen=True)
class Computing:
    """What a training reckons in, and on what."""

    precision: str
    """A policy of Keras: ``float32``, ``mixed_float16``, ``mixed_bfloat16``."""
    hardware: str
    replicas: int = 1
    """Of the network, each of which learned from its share of every batch."""


def computing_for(asked: Precision, architecture: Architecture, hardware: Hardware | None = None) -> Computing:
    """What to reckon in on this machine.

    A GPU with tensor cores gains with any architecture; a processor with those that were measured to.

    Raises:
        WrongOption: mixed precision is asked for, and the machine is not made for it.
    """
    hardware = hardware or hardware_of_this_machine()
    if asked is Precision.MIXED and hardware.mixed is None:
        raise WrongOption(
            f"option precision: mixed needs a GPU with tensor cores, or a processor with AVX512_BF16 or AMX, and "
            f"{hardware.name} is neither: ask for auto or float32"
        )
    gains = hardware.mixed == FLOAT16 or architecture.quick_in_bfloat16
    mixed = asked is Precision.MIXED or (asked is Precision.AUTO and gains)
    return Computing((mixed and hardware.mixed) or FLOAT32, hardware.name)


def hardware_of_this_machine() -> Hardware:
    """Its GPUs, if TensorFlow sees any, or else its processor."""
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    if gpus:
        has_tensor_cores = all(gpu.get("compute_capability", (0, 0)) >= TENSOR_CORES for gpu in gpus)
        name = ", ".join(gpu.get("device_name", "unknown GPU") for gpu in gpus)
        return Hardware(name, FLOAT16 if has_tensor_cores else None)
    return processor(CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.exists() else "")


def processor(cpu_info: str) -> Hardware:
    """The processor of a ``/proc/cpuinfo``; of one that says nothing, what Python knows."""
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in cpu_info.splitlines())}
    quick = BFLOAT16_FLAGS & set(said.get("flags", "").split())
    name = said.get("model name") or platform.processor() or platform.machine()
    return Hardware(f"{name} with {', '.join(sorted(quick))}" if quick else name, BFLOAT16 if quick else None)


def note_run(runs: list[dict[str, int | str]], computing: Computing, epoch: int) -> None:
    """Write down what a training reckons in from an epoch (from 1) on, unless that is what it did before."""
    run: dict[str, int | str] = asdict(computing)
    before = {name: runs[-1].get(name, 1) for name in run} if runs else None  # older ones name no replicas: 1
    if before and before["precision"] != run["precision"]:
        _log.warning("a training goes on in another precision", before=before, now=run, epoch=epoch)
    if before != run:
        runs.append({**run, "from_epoch": epoch})


def twin(network: keras.Model, precision: str, replicas: int = 1) -> keras.Model:
    """A model of the same layers and weights that learns in a precision.

    In float32 and by itself it shares the network's own weights; otherwise see to it by `copy_weights` that they stay
    the same. Replicas normalise by the statistics of the batch that they share.

    Args:
        network: in float32.
        precision: a policy of Keras.
        replicas: of the twin that learn together.
    """
    if precision == FLOAT32 and replicas == 1:
        return keras.Model(network.inputs, network.outputs)

    def under_policy(layer: layers.Layer) -> layers.Layer:
        config = layer.get_config()
        if _gains(layer):
            config["dtype"] = precision
        if isinstance(layer, layers.BatchNormalization):
            config["synchronized"] = replicas > 1
        return type(layer).from_config(config)

    learner = keras.models.clone_model(network, clone_function=under_policy)
    copy_weights(network, learner)
    return learner


def _gains(layer: Any) -> bool:
    """Whether a layer may reckon in 16 bits: not the pixels' scale, the logits, or what has a precision of its own."""
    plain = isinstance(layer, layers.Layer) and layer.dtype_policy.name == FLOAT32
    return plain and not isinstance(layer, layers.Normalization | layers.Rescaling) and layer.name not in IN_FLOAT32


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give a twin, or its network, all that the other one has learned, and the states of its random numbers."""
    for ours, theirs in zip(source.variables, target.variables, strict=True):
        if ours is not theirs:
            theirs.assign(ours)
    for layer in target.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # it would go on with the mean and variance that it had


def scaled(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """The optimizer as a precision needs it: float16 loses small gradients unless the loss is made larger."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == FLOAT16 else optimizer
