"""Count the parameters of a network, and its multiply-accumulates for one image."""

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
    """The shape of the layer's output for one image."""
    parameters: int
    macs: int


@dataclass(frozen=True)
class NetworkCost:
    """All layers of a network."""

    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        """Return the number of trained parameters and running statistics of batch normalisation."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of the convolutions and dense layers, for one image."""
        return sum(layer.macs for layer in self.layers)


def cost_of(model: keras.Model) -> NetworkCost:
    """Count a network's parameters and multiply-accumulates, layer by layer."""
    costs = []
    for layer in model.layers:
        shape = tuple(int(side) for side in layer.output.shape[1:])
        kernels = [weight for weight in layer.weights if weight.name.endswith("kernel")]
        # every weight of a kernel is used once at each position of the output
        macs = sum(int(math.prod(kernel.shape)) for kernel in kernels) * math.prod(shape[:-1])
        costs.append(LayerCost(layer.name, type(layer).__name__, shape, int(layer.count_params()), macs))
    return NetworkCost(tuple(costs))
