"""Run networks on TensorFlow, the second engine. Only this module of the service imports TensorFlow."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import tensorflow as tf

from shared.engines.keras import load_network
from shared.engines.port import EngineError, Images, Logits


class TensorFlowEngine:
    """A network in the Keras format, as it was trained."""

    def __init__(self, content: bytes, threads: int = 0) -> None:
        """Load a network.

        Args:
            content: the ``.keras`` file.
            threads: most threads; 0 for the default of TensorFlow. The first network of a process decides.

        Raises:
            EngineError: the file is not a Keras network, or it would run code when loaded.
        """
        with suppress(RuntimeError):  # TensorFlow already runs with the threads of the first network
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        self._network = load_network(content)
        signature = tf.TensorSpec((None, *self._network.input_shape[1:]), tf.float32)
        self._run = tf.function(lambda images: self._network(images, training=False), input_signature=[signature])

    @property
    def name(self) -> str:
        return f"tensorflow {tf.__version__}"

    def logits(self, images: Images) -> Logits:
        try:
            return np.asarray(self._run(images), np.float32)
        except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
            raise EngineError(f"TensorFlow can't run the network: {str(error).splitlines()[0]}") from error

    def close(self) -> None:
        del self._run, self._network
