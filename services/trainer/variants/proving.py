"""Compile the variants of a network, and prove which variants give the verdicts of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.errors import TrainerError
from services.trainer.evaluation.costs import Scores
from services.trainer.evaluation.evaluate import macro_average_precision
from services.trainer.evaluation.figures import Evaluation
from services.trainer.evaluation.logits import engine_logits
from services.trainer.variants.proof import LeftOut, Proof, compare
from shared.contracts.bundle import VARIANT_FILES, Variant
from shared.engines.batch_check import SAME_SCORE, moved_by_neighbours, noise
from shared.engines.compile import CompiledVariant
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Logits
from shared.recipe import Recipe
from shared.verdict import scores_by

CALIBRATION_IMAGES: Final = 300
"""Number of images for the calibration of an int8 variant: NNCF's default."""
SAME_PRECISION: Final = 0.001
"""Tolerance for another order of nearly equal scores: the interval of a perfect network is a single point."""
FEW: Final = 8
"""Number of images that are scored alone and in a batch."""


class UnequalVariant(TrainerError):
    """The compiled network gives other verdicts than the trained network, so it must not be used."""


@dataclass
class Variants:
    """The compiled variants of a network: those that the bundle offers, and those that it leaves out."""

    offered: dict[Variant, CompiledVariant] = field(default_factory=dict)
    proofs: dict[Variant, Proof] = field(default_factory=dict)
    scores: dict[Variant, Scores] = field(default_factory=dict, compare=False)
    """The scores of the validation split by each offered variant."""
    left_out: dict[Variant, LeftOut] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """Return the offered variants as files of a bundle."""
        files: dict[str, bytes] = {}
        for name, compiled in self.offered.items():
            network, weights = VARIANT_FILES[name]
            files |= {network: compiled.xml, weights: compiled.weights}
        return files


@dataclass(frozen=True)
class Reference:
    """The trained network on the validation split, with which variants are compared."""

    recipe: Recipe
    """The recipe with the thresholds of the line."""
    store: PixelStore
    rows: Rows
    logits: Logits
    evaluation: Evaluation

    @cached_property
    def scores(self) -> Scores:
        return scores_by(self.recipe, self.logits)

    def prove(self, compiled: CompiledVariant, in_full_precision: str = "everything") -> tuple[Proof, Scores]:
        """Run a variant on the same images, and return its proof and its scores."""
        engine = OpenVinoEngine(compiled.xml, compiled.weights)
        scores = scores_by(self.recipe, engine_logits(engine, self.store, self.rows))
        few = self.store.prepared(self.rows[:FEW]), noise(self.recipe, FEW)
        truth = self.store.labels[self.rows]
        proof = Proof(
            **compare(self.recipe, self.scores, scores).model_dump(),
            macro_average_precision=macro_average_precision(truth, scores[:, : truth.shape[1]]),
            moved_by_neighbours=max(moved_by_neighbours(engine.logits, self.recipe, images) for images in few),
            in_full_precision=in_full_precision,
        )
        return proof, scores

    def objection(self, proof: Proof) -> str | None:
        """Return why the line must not use a variant; None if it may."""
        if not proof.holds:
            return proof.objection
        if proof.moved_by_neighbours > SAME_SCORE:
            return f"in a batch, a score is up to {proof.moved_by_neighbours:.3f} from that of the image alone"
        low, _ = self.evaluation.intervals.get("macro_average_precision", (0.0, 1.0))
        if proof.macro_average_precision < low - SAME_PRECISION:
            return (
                f"its macro average precision is {proof.macro_average_precision:.3f}, and the network's above {low:.3f}"
            )
        return None


def make_variants(
    fp32: CompiledVariant, reference: Reference, requested: Sequence[Variant], calibration: Rows
) -> Variants:
    """Prove the fp32 variant, and make and prove the other requested variants.

    The fastest int8 variant whose proof holds is offered: with every layer quantised, or with the most sensitive layers
    in full precision.

    Args:
        fp32: the network in full precision.
        reference: the trained network.
        requested: the names of the variants.
        calibration: rows of the images that set the ranges of an int8 variant: see `calibration_rows`.

    Raises:
        UnequalVariant: the fp32 variant gives other verdicts than the network.
    """
    proof, scores = reference.prove(fp32)
    if objection := reference.objection(proof):
        raise UnequalVariant(f"the compiled network is not usable for inference: {objection}")
    variants = Variants({Variant.FP32: fp32}, {Variant.FP32: proof}, {Variant.FP32: scores})
    if Variant.INT8 not in requested:
        return variants
    from services.trainer.variants.quantise import (  # noqa: PLC0415  # NNCF loads for seconds
        anomaly_operations,
        quantisation_options,
        quantise,
    )

    always_spared = anomaly_operations(fp32) if reference.recipe.anomaly else frozenset()
    for spared in quantisation_options(fp32):
        compiled = quantise(fp32, reference.store, calibration, spared.operations | always_spared)
        proof, scores = reference.prove(compiled, f"the head, {spared.description}")
        objection = reference.objection(proof)
        if objection is None:
            variants.offered[Variant.INT8], variants.proofs[Variant.INT8] = compiled, proof
            variants.scores[Variant.INT8] = scores
            variants.left_out.pop(Variant.INT8, None)
            return variants
        variants.left_out[Variant.INT8] = LeftOut(reason=objection, proof=proof)
    return variants


def calibration_rows(rows: dict[str, Rows], seed: int) -> Rows:
    """Return images for the calibration of int8: validation images, and if there are few, also training images.

    Ranges from few images would cut off values that occur on the line. Labels are not used, nor is the test split.

    Args:
        rows: the rows of the splits ``train`` and ``valid``.
        seed: chooses the images if there are more.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(rows["valid"])[:CALIBRATION_IMAGES]
    more = rng.permutation(rows["train"])[: CALIBRATION_IMAGES - len(chosen)]
    return np.sort(np.concatenate([chosen, more]))
