"""Run networks with OpenVINO, on the line and for the proofs of the trainer.

Import OpenVINO from here (``from shared.engines.openvino import openvino``): this blocks the package by which it
reports its use over the internet, and OpenVINO then replaces that package by one that does nothing.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails

import openvino  # noqa: E402

from shared.engines.port import EngineError, Images, Logits  # noqa: E402

__all__ = ["OpenVinoEngine", "openvino"]


class OpenVinoEngine:
    """A network in OpenVINO's intermediate representation, on the CPU.

    It computes in float32: by default, OpenVINO uses bfloat16 on processors that support it, so that the scores would
    differ from those that were proven on another machine. Threads are not pinned to cores: OpenVINO would pin a
    network with one thread to the same core in every process, so that workers would share this core.
    """

    def __init__(self, xml: bytes, weights: bytes, threads: int = 0) -> None:
        """Load a network.

        Args:
            xml: the network.
            weights: its weights.
            threads: at most; 0 for one on each physical core.

        Raises:
            EngineError: the bytes are not a network of OpenVINO.
        """
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        try:
            self._request = core.compile_model(core.read_model(xml, weights), "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO can't load the network: {_last_line(error)}") from error

    @property
    def name(self) -> str:
        """Return the library and its version."""
        return f"openvino {openvino.__version__.partition('-')[0]}"

    def logits(self, images: Images) -> Logits:
        """Run the network."""
        return self.answer(images)

    def answer(self, images: Images) -> NDArray[np.float32]:
        """Run the network on a batch, and return its output: logits of a network, features of its first half.

        The batch is not padded to one size: that was measured slower than OpenVINO's dynamic batch.

        Raises:
            EngineError: the network does not take images of this shape, or failed on them.
        """
        try:
            answer = self._request.infer(np.ascontiguousarray(images), share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO can't run the network: {_last_line(error)}") from error
        return np.asarray(answer[0], np.float32)

    def close(self) -> None:
        """Free the memory of the network."""
        del self._request


def _last_line(error: RuntimeError) -> str:
    """Return the last line of an error: the lines before are places in the source code of OpenVINO."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
