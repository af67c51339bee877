"""What a network costs: its parameters, and the multiply-accumulates of one image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class LayerCost:
    """One layer of a network."""

    name: str
    kind: str
    shape: tuple[int, ...]
    """Of what it gives for one image."""
    parameters: int
    macs: int


@dataclass(frozen=True)
class NetworkCost:
    """All layers of a network."""

    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        """Trained ones, and the running statistics of batch normalisation."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolutions and dense layers, for one image."""
        return sum(layer.macs for layer in self.layers)


def cost_of(model: keras.Model) -> NetworkCost:
    """Count a network's parameters and multiply-accumulates, layer by layer."""
    return NetworkCost(tuple(_cost_of_layer(layer) for layer in model.layers))


def _cost_of_layer(layer: keras.Layer) -> LayerCost:
    shape = tuple(int(side) for side in layer.output.shape[1:])
    return LayerCost(layer.name, type(layer).__name__, shape, int(layer.count_params()), _macs(layer, shape))


def _macs(layer: keras.Layer, shape: tuple[int, ...]) -> int:
    """Every weight of a kernel is used once at each place of the output."""
    kernels = [weight for weight in layer.weights if weight.name.endswith("kernel")]
    return sum(int(math.prod(kernel.shape)) for kernel in kernels) * math.prod(shape[:-1])
