"""Networks on OpenVINO: how they judge on the line, and how the trainer proves beforehand that they judge so.

Import OpenVINO from here (``from shared.engines.openvino import openvino``). Importing it bare reports to its
maker over the internet; without the package that does the reporting, OpenVINO takes a stand-in that does nothing.
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

    In full precision: left to itself, OpenVINO computes in bfloat16 where the processor can, and what was proven
    equal to the trained network would be another network on another machine. Threads are not pinned to cores:
    OpenVINO would pin a one-thread network to the same core in every process, and workers would share that core.
    """

    def __init__(self, xml: bytes, weights: bytes, threads: int = 0) -> None:
        """Load a network.

        Args:
            xml: the network.
            weights: its numbers.
            threads: at most so many; 0 for one on each physical core.

        Raises:
            EngineError: this is no network of OpenVINO's.
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
        """The library and its version."""
        return f"openvino {openvino.__version__.partition('-')[0]}"

    def logits(self, images: Images) -> Logits:
        """Run the network."""
        return self.answer(images)

    def answer(self, images: Images) -> NDArray[np.float32]:
        """What the network makes of a batch: logits of a whole one, features of the first half of one.

        A batch is taken as it is: padding it to one size was measured slower than OpenVINO's dynamic batch.

        Raises:
            EngineError: the network does not take images of this shape, or failed on them.
        """
        try:
            answer = self._request.infer(np.ascontiguousarray(images), share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO can't run the network: {_last_line(error)}") from error
        return np.asarray(answer[0], np.float32)

    def close(self) -> None:
        """Give its memory back."""
        del self._request


def _last_line(error: RuntimeError) -> str:
    """OpenVINO's errors begin with the places in its sources that they passed."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
