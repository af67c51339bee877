"""Choose the precision of a training: float32, or mixed precision if the hardware supports 16 bits.

In mixed precision (Micikevicius et al. 2018, arXiv 1710.03740) layers compute in 16 bits, while weights, batch
normalisation, logits, loss and optimizer stay in float32. Only the copy of the network that is trained uses it; the
network that is validated, saved and compiled is always float32.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

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
"""The lowest compute capability of a GPU with tensor cores."""
BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})
CPU_INFO: Final = Path("/proc/cpuinfo")
IN_FLOAT32: Final = ("logits",)
"""Names of layers that compute in float32, because the loss is computed from them."""

_log = structlog.stdlib.get_logger("training")


@dataclass(frozen=True)
class Hardware:
    """The processor or the GPUs of a training."""

    name: str
    mixed: str | None
    """The policy of mixed precision that the hardware supports; None if it supports none."""


@dataclass(frozen=True)
class ComputeConfig:
    """The precision and the hardware of a training."""

    precision: str
    """A policy of Keras: ``float32``, ``mixed_float16``, ``mixed_bfloat16``."""
    hardware: str
    replicas: int = 1
    """Number of copies of the network, each of which learns from its share of each batch."""


def compute_config(requested: Precision, architecture: Architecture, hardware: Hardware | None = None) -> ComputeConfig:
    """Return the precision and the hardware of a training on this machine.

    For ``auto``, mixed precision is used where it is faster: on a GPU with tensor cores, and on a processor for
    architectures with ``fast_in_bfloat16``.

    Raises:
        WrongOption: mixed precision is requested, and the hardware does not support it.
    """
    hardware = hardware or hardware_of_this_machine()
    if requested is Precision.MIXED and hardware.mixed is None:
        raise WrongOption(
            f"option precision: mixed needs a GPU with tensor cores, or a processor with AVX512_BF16 or AMX, and "
            f"{hardware.name} is neither: use auto or float32"
        )
    is_faster = hardware.mixed == FLOAT16 or architecture.fast_in_bfloat16
    mixed = requested is Precision.MIXED or (requested is Precision.AUTO and is_faster)
    return ComputeConfig((mixed and hardware.mixed) or FLOAT32, hardware.name)


def hardware_of_this_machine() -> Hardware:
    """Return the GPUs of this machine if TensorFlow finds any, or else its processor."""
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    if gpus:
        has_tensor_cores = all(gpu.get("compute_capability", (0, 0)) >= TENSOR_CORES for gpu in gpus)
        name = ", ".join(gpu.get("device_name", "unknown GPU") for gpu in gpus)
        return Hardware(name, FLOAT16 if has_tensor_cores else None)
    return processor(CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.exists() else "")


def processor(cpu_info: str) -> Hardware:
    """Return the processor that the content of ``/proc/cpuinfo`` describes; if it is empty, by Python's `platform`."""
    lines = (line.partition(":") for line in cpu_info.splitlines())
    info = {name.strip(): value.strip() for name, _, value in lines}
    bfloat16 = BFLOAT16_FLAGS & set(info.get("flags", "").split())
    name = info.get("model name") or platform.processor() or platform.machine()
    return Hardware(f"{name} with {', '.join(sorted(bfloat16))}" if bfloat16 else name, BFLOAT16 if bfloat16 else None)


def record_run(runs: list[dict[str, int | str]], config: ComputeConfig, epoch: int) -> None:
    """Record the precision and hardware from an epoch (from 1) on, if they have changed."""
    run: dict[str, int | str] = asdict(config)
    before = {name: runs[-1][name] for name in run} if runs else None
    if before and before["precision"] != run["precision"]:
        _log.warning("a training continues in another precision", before=before, now=run, epoch=epoch)
    if before != run:
        runs.append({**run, "from_epoch": epoch})


def clone_in_precision(network: keras.Model, precision: str, replicas: int = 1) -> keras.Model:
    """Return a model with the same layers and weights that is trained in this precision.

    In float32 without replicas, the model shares the network's weights; otherwise `copy_weights` copies them. Batch
    normalisation of replicas uses the statistics of the whole batch.

    Args:
        network: a network in float32.
        precision: a policy of Keras.
        replicas: number of clones that train together.
    """
    if precision == FLOAT32 and replicas == 1:
        return keras.Model(network.inputs, network.outputs)

    def clone(layer: layers.Layer) -> layers.Layer:
        config = layer.get_config()
        plain = isinstance(layer, layers.Layer) and layer.dtype_policy.name == FLOAT32
        # layers that scale pixels, logits, and layers with another policy stay unchanged
        if plain and not isinstance(layer, layers.Normalization | layers.Rescaling) and layer.name not in IN_FLOAT32:
            config["dtype"] = precision
        if isinstance(layer, layers.BatchNormalization):
            config["synchronized"] = replicas > 1
        return type(layer).from_config(config)

    model = keras.models.clone_model(network, clone_function=clone)
    copy_weights(network, model)
    return model


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy all weights from a network to its clone or back, with the states of the random generators."""
    for from_source, to_target in zip(source.variables, target.variables, strict=True):
        if from_source is not to_target:
            to_target.assign(from_source)
    for layer in target.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # otherwise the layer would use its previous mean and variance


def with_loss_scaling(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """Return the optimizer for a precision: float16 loses small gradients unless the loss is scaled up."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == FLOAT16 else optimizer
