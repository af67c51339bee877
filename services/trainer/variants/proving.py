"""The compiled variants of a network, and which of them the line may use: those that judge as the network does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.errors import TrainerError
from services.trainer.evaluation.evaluate import Evaluation, Scores
from services.trainer.evaluation.validation import engine_logits, macro_average_precision
from services.trainer.variants.equality import LeftOut, Proof, changed_verdicts_told, compare
from shared.contracts.bundle import VARIANT_FILES, Variant
from shared.engines.batch_check import SAME_SCORE, moved_by_neighbours, noise
from shared.engines.compile import CompiledVariant
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Logits
from shared.recipe import Recipe
from shared.verdict import scores_of

CALIBRATING: Final = 300
"""Images that set the ranges of an int8 variant, as NNCF has it by default."""
SAME_PRECISION: Final = 0.001
"""What the order of scores that are as good as equal may change: a perfect network's interval is a single point."""
FEW: Final = 8
"""Images that are judged alone and together."""


class UnequalVariant(TrainerError):
    """The compiled network does not judge as the trained one does: it must not be used."""


@dataclass
class Variants:
    """What the line is offered, and what it is not."""

    offered: dict[Variant, CompiledVariant] = field(default_factory=dict)
    proofs: dict[Variant, Proof] = field(default_factory=dict)
    scores: dict[Variant, Scores] = field(default_factory=dict, compare=False)
    """What each variant that is offered says of the validation images."""
    left_out: dict[Variant, LeftOut] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """As a bundle keeps them."""
        files: dict[str, bytes] = {}
        for variant, compiled in self.offered.items():
            network, weights = VARIANT_FILES[variant]
            files |= {network: compiled.xml, weights: compiled.weights}
        return files


@dataclass(frozen=True)
class Reference:
    """The trained network on the validation images: what a variant is held against."""

    recipe: Recipe
    """With the thresholds that will judge on the line."""
    store: PixelStore
    rows: Rows
    logits: Logits
    evaluation: Evaluation

    @cached_property
    def scores(self) -> Scores:
        """Of the logits."""
        return scores_of(self.logits, self.recipe.task)

    def prove(self, variant: CompiledVariant, in_full_precision: str = "everything") -> tuple[Proof, Scores]:
        """Run a variant on the same images: how it did, and what it said."""
        engine = OpenVinoEngine(variant.xml, variant.weights)
        scores = scores_of(engine_logits(engine, self.store, self.rows), self.recipe.task)
        few = self.store.prepared(self.rows[:FEW]), noise(self.recipe, FEW)
        proof = Proof(
            **compare(self.recipe, self.scores, scores).model_dump(),
            macro_average_precision=macro_average_precision(self.store.labels[self.rows], scores),
            moved_by_neighbours=max(moved_by_neighbours(engine.logits, self.recipe, images) for images in few),
            in_full_precision=in_full_precision,
        )
        return proof, scores

    def objection(self, proof: Proof) -> str | None:
        """Why the line must not use a variant; None when it may."""
        if not proof.holds:
            return changed_verdicts_told(proof)
        if proof.moved_by_neighbours > SAME_SCORE:
            return f"in a batch, a score is up to {proof.moved_by_neighbours:.3f} from that of the image alone"
        low, _ = self.evaluation.intervals.get("macro_average_precision", (0.0, 1.0))
        if proof.macro_average_precision < low - SAME_PRECISION:
            return (
                f"its macro average precision is {proof.macro_average_precision:.3f}, and the network's above {low:.3f}"
            )
        return None


def make_variants(
    fp32: CompiledVariant, reference: Reference, wanted: Sequence[Variant], calibrating: Rows
) -> Variants:
    """Prove the fp32 variant, and make and prove the others that are wanted.

    Args:
        fp32: the network in full precision.
        reference: the trained network.
        wanted: which variants.
        calibrating: rows of the images that set the ranges of an int8 variant: see `calibration_rows`.

    Raises:
        UnequalVariant: the fp32 variant does not judge as the network does.
    """
    proof, scores = reference.prove(fp32)
    if objection := reference.objection(proof):
        raise UnequalVariant(f"the compiled network is not usable for inference: {objection}")
    variants = Variants({Variant.FP32: fp32}, {Variant.FP32: proof}, {Variant.FP32: scores})
    if Variant.INT8 in wanted:
        _add_int8(variants, reference, calibrating)
    return variants


def _add_int8(variants: Variants, reference: Reference, calibrating: Rows) -> None:
    """The fastest int8 variant that holds: with every layer quantised, or with those spared that bear it least."""
    from services.trainer.variants.quantise import attempts, quantise  # noqa: PLC0415  # NNCF takes seconds to import

    fp32 = variants.offered[Variant.FP32]
    for spared in attempts(fp32):
        variant = quantise(fp32, reference.store, calibrating, spared.operations)
        proof, scores = reference.prove(variant, f"the head, {spared.description}")
        objection = reference.objection(proof)
        if objection is None:
            variants.offered[Variant.INT8], variants.proofs[Variant.INT8], variants.scores[Variant.INT8] = (
                variant,
                proof,
                scores,
            )
            variants.left_out.pop(Variant.INT8, None)
            return
        variants.left_out[Variant.INT8] = LeftOut(reason=objection, proof=proof)


def calibration_rows(rows: dict[str, Rows], seed: int) -> Rows:
    """Images that set the ranges of an int8 variant: of the validation split, and training images where these are few.

    Ranges that few images set cut off what the line shows. No label is looked at, and the test part stays unseen.

    Args:
        rows: of ``train`` and ``valid``.
        seed: chooses among more.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(rows["valid"])[:CALIBRATING]
    more = rng.permutation(rows["train"])[: CALIBRATING - len(chosen)]
    return np.sort(np.concatenate([chosen, more]))
