"""A model that judges: loaded from its bundle, proven to answer, asked, unloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from shared.contracts.bundle import FORM_FILES, KERAS, Bundle, BundleError, Form, fastest_form
from shared.engines.batch_check import SAME_SCORE, moved_by_neighbours, noise
from shared.engines.port import Engine, EngineError, Logits
from shared.messages import Verdict
from shared.recipe import Recipe
from shared.verdict import Judgement, judge, scores_of

Prepared = NDArray[np.float32]
"""(height, width, channels): one image as the network sees it."""

MOST_PROVEN: Final = 8
"""Images that are judged alone and together before a network is trusted."""

MOST_WARMED: Final = 16
"""Every batch of up to so many images is run once: OpenVINO prepares each size when it comes first, and would take
time and memory for that in a backlog."""

_log = structlog.stdlib.get_logger("model")


def unjudged(reason: str) -> Judgement:
    """What is said of a frame that can't be judged."""
    return Judgement(Verdict.ERROR, reason, {}, flagged=False)


@dataclass(frozen=True)
class Model:
    """A network and the recipe that says what its answers mean."""

    version: str
    recipe: Recipe
    engine: Engine
    form: str = Form.FP32
    """Of the network: what a compiled form is called, or ``keras``."""

    def judge(self, images: Sequence[Prepared]) -> list[Judgement]:
        """Judge images, all in one run of the network. One that it has no number for gets an error."""
        if not images:
            return []
        scores = scores_of(self.engine.logits(np.stack(images)), self.recipe.task)
        return [self._judge(row) for row in scores]

    def _judge(self, scores: NDArray[np.float32]) -> Judgement:
        if not np.isfinite(scores).all():
            return unjudged(f"model {self.version} answers with something that is no number: promote another one")
        return judge(self.recipe, scores)

    def unload(self) -> None:
        """Give the network's memory back."""
        self.engine.close()


def load_model(
    bundle: Bundle,
    kind: Literal["openvino", "tensorflow"],
    threads: int,
    largest_batch: int,
    form: Literal["auto", "fp32", "int8"] = "auto",
) -> Model:
    """Load a bundle, and see that its network judges an image alone as it does in a batch.

    With ``auto``, an int8 form that this machine does not run so gives way to fp32.

    Raises:
        BundleError: the bundle does not hold what the engine needs, or not the form that is asked for.
        EngineError: the network can't be loaded, or does not answer as its recipe says.
    """
    chosen = _form_of(bundle, kind, form)
    try:
        engine = _open_proven(bundle, chosen, threads, largest_batch)
    except EngineError as error:
        if form != "auto" or chosen != Form.INT8:
            raise
        _log.warning("the int8 form is not fit for this machine; taking fp32", reason=str(error))
        chosen = Form.FP32
        engine = _open_proven(bundle, chosen, threads, largest_batch)
    return Model(bundle.version, bundle.recipe, engine, chosen)


def _open_proven(bundle: Bundle, form: Form | Literal["keras"], threads: int, largest_batch: int) -> Engine:
    engine = _open_engine(bundle, form, threads)
    try:
        _prove(engine, bundle.recipe, largest_batch)
    except EngineError:
        engine.close()
        raise
    return engine


def _form_of(bundle: Bundle, kind: str, wanted: str) -> Form | Literal["keras"]:
    """A bundle has an int8 form where the trainer has proven that it judges alike; it is the fastest."""
    if kind == "tensorflow":
        return "keras"
    if wanted == "auto":
        return fastest_form(bundle)
    if not all(name in bundle.files for name in FORM_FILES[Form(wanted)]):
        raise BundleError(f"it has no {wanted} form: set INFERENCE_FORM=auto, or promote a model that has one")
    return Form(wanted)


def _open_engine(bundle: Bundle, form: Form | Literal["keras"], threads: int) -> Engine:
    # an engine is imported when it is chosen: a worker loads one of them
    if form == "keras":
        from services.inference.tensorflow_engine import TensorFlowEngine  # noqa: PLC0415

        return TensorFlowEngine(bundle.file(KERAS), threads)
    from shared.engines.openvino import OpenVinoEngine  # noqa: PLC0415

    network, weights = FORM_FILES[form]
    return OpenVinoEngine(bundle.file(network), bundle.file(weights), threads)


def _prove(engine: Engine, recipe: Recipe, largest_batch: int) -> None:
    images = noise(recipe, largest_batch)
    for size in (largest_batch, *range(1, min(largest_batch, MOST_WARMED + 1))):
        _checked(engine, recipe, images[:size])
    compared = noise(recipe, min(max(2, largest_batch), MOST_PROVEN))
    moved = moved_by_neighbours(lambda batch: _checked(engine, recipe, batch), recipe, compared)
    if moved > SAME_SCORE:
        raise EngineError(f"the network judges an image by its neighbours: alone, a score moves by {moved:.2g}")


def _checked(engine: Engine, recipe: Recipe, images: NDArray[np.float32]) -> Logits:
    logits = engine.logits(images)
    expected = (len(images), len(recipe.labels))
    if logits.shape != expected:
        raise EngineError(f"the network answers {logits.shape} numbers, and recipe {recipe.name} asks for {expected}")
    if not np.isfinite(logits).all():
        raise EngineError("the network answers with something that is no number")
    return logits
