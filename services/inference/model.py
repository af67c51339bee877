"""Load a model from its bundle, prove that it answers, judge images with it, and unload it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from shared.contracts.bundle import KERAS, VARIANT_FILES, Bundle, BundleError, Variant, fastest_variant
from shared.engines.batch_check import SAME_SCORE, moved_by_neighbours, noise
from shared.engines.bundled_references import references_of
from shared.engines.port import Engine, EngineError, Images, Logits
from shared.imaging.codec import Image
from shared.imaging.preprocessing import prepare
from shared.imaging.references import References
from shared.messages import Verdict
from shared.recipe import Recipe
from shared.verdict import Judgement, judge, scores_by

PROOF_IMAGES: Final = 8
"""Images that must get the same scores one by one and as a batch before a network is used."""

SIZES: Final = (32, 16, 8, 4, 2, 1)
"""The batch sizes that the network runs, largest first; other batches are divided. OpenVINO prepares each size at its
first use, which takes time and memory, so each size is run once before the model is used."""

_log = structlog.stdlib.get_logger("model")


def error_judgement(reason: str) -> Judgement:
    """Return the judgement on a frame that can't be inspected."""
    return Judgement(Verdict.ERROR, reason, {}, flagged=False)


@dataclass(frozen=True)
class Model:
    """A network, and the recipe by which its outputs become verdicts."""

    version: str
    recipe: Recipe
    engine: Engine
    variant: str = Variant.FP32
    """The compiled variant that runs, or ``keras``."""
    references: References | None = None
    """The reference images of the recipe, if it has any."""

    def prepare(self, image: Image) -> NDArray[np.float32]:
        """Return a decoded image prepared for the network.

        Raises:
            NotAligned: no reference image can be aligned with it.
        """
        return prepare(image, self.recipe.image, self.references)

    def run(self, images: Images) -> Logits:
        """Run the network on prepared images, which may be none."""
        answers, start = [np.zeros((0, len(self.recipe.labels)), np.float32)], 0
        while start < len(images):
            size = next(size for size in SIZES if size <= len(images) - start)
            answers.append(self.engine.logits(images[start : start + size]))
            start += size
        return np.concatenate(answers)

    def judge(self, logits: Logits) -> list[Judgement]:
        """Judge images by their logits; an image whose scores are not finite gets the verdict *error*."""
        not_finite = f"model {self.version} answers with numbers that are not finite: promote another model"
        return [
            judge(self.recipe, scores) if np.isfinite(scores).all() else error_judgement(not_finite)
            for scores in scores_by(self.recipe, logits)
        ]

    def unload(self) -> None:
        """Free the memory of the network."""
        self.engine.close()


def load_model(
    bundle: Bundle,
    kind: Literal["openvino", "tensorflow"],
    threads: int,
    largest_batch: int,
    variant: Literal["auto", "fp32", "int8"] = "auto",
) -> Model:
    """Load a bundle, and prove that its network judges an image alone as it does in a batch.

    With ``auto``, fp32 replaces an int8 variant that fails this proof on this machine.

    Raises:
        BundleError: the bundle lacks what the engine needs, or the variant that was requested.
        EngineError: the network can't be loaded, or its outputs do not match the recipe.
    """
    chosen: Variant | Literal["keras"]
    if kind == "tensorflow":
        chosen = "keras"
    elif variant == "auto":
        chosen = fastest_variant(bundle)
    elif all(name in bundle.files for name in VARIANT_FILES[Variant(variant)]):
        chosen = Variant(variant)
    else:
        raise BundleError(
            f"the bundle has no {variant} variant: set INFERENCE_VARIANT=auto, or promote a model that has one"
        )
    references = references_of(bundle)
    try:
        engine = _open_proven(bundle, chosen, threads, largest_batch)
    except EngineError as error:
        if variant != "auto" or chosen != Variant.INT8:
            raise
        _log.warning("the int8 variant fails on this machine; using fp32", reason=str(error))
        chosen = Variant.FP32
        engine = _open_proven(bundle, chosen, threads, largest_batch)
    return Model(bundle.version, bundle.recipe, engine, chosen, references)


def _open_proven(bundle: Bundle, variant: Variant | Literal["keras"], threads: int, largest_batch: int) -> Engine:
    """Open an engine, and prove that it answers."""
    engine: Engine
    # each engine is imported on demand: a worker loads only one of them
    if variant == "keras":
        from services.inference.tensorflow_engine import TensorFlowEngine  # noqa: PLC0415

        engine = TensorFlowEngine(bundle.file(KERAS), threads)
    else:
        from shared.engines.openvino import OpenVinoEngine  # noqa: PLC0415

        network, weights = VARIANT_FILES[variant]
        engine = OpenVinoEngine(bundle.file(network), bundle.file(weights), threads)
    try:
        prove(engine, bundle.recipe, largest_batch)
    except EngineError:
        engine.close()
        raise
    return engine


def prove(engine: Engine, recipe: Recipe, largest_batch: int) -> None:
    """Run each batch size once, and prove that no score depends on the other images of the batch.

    Raises:
        EngineError: a score does, or the outputs do not match the recipe.
    """
    images = noise(recipe, min(largest_batch, SIZES[0]))
    for size in SIZES:
        if size <= largest_batch:
            _checked(engine, recipe, images[:size])
    compared = noise(recipe, min(max(2, largest_batch), PROOF_IMAGES))
    moved = moved_by_neighbours(lambda batch: _checked(engine, recipe, batch), recipe, compared)
    if moved > SAME_SCORE:
        raise EngineError(f"a score depends on the other images of the batch: alone it differs by {moved:.2g}")


def _checked(engine: Engine, recipe: Recipe, images: NDArray[np.float32]) -> Logits:
    logits = engine.logits(images)
    expected = (len(images), len(recipe.labels))
    if logits.shape != expected:
        raise EngineError(f"the network gives {logits.shape} outputs, and recipe {recipe.name} needs {expected}")
    if not np.isfinite(logits).all():
        raise EngineError("the network answers with numbers that are not finite")
    return logits
