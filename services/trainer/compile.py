"""The compiled form of a network for inference, and the proof that it judges as the trained one does."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shared.recipe import Recipe
from shared.verdict import judge, scores_of
from shared.vision.engine import Logits
from shared.vision.openvino_engine import openvino


@dataclass(frozen=True)
class CompiledForm:
    """A network in OpenVINO's intermediate representation. The batch size is free."""

    xml: bytes
    weights: bytes


class Equality(BaseModel):
    """How near a compiled form comes to the trained network, on pictures it was not trained on."""

    model_config = ConfigDict(frozen=True)

    pictures: int = Field(gt=0)
    largest_score_difference: float = Field(ge=0)
    changed_verdicts: int = Field(ge=0)

    @property
    def holds(self) -> bool:
        """Whether at most one verdict in a thousand changed (or one, among fewer pictures)."""
        return self.changed_verdicts <= max(1, self.pictures // 1000)


def compile_for_openvino(network: keras.Model) -> CompiledForm:
    """Compile a network.

    The SavedModel is read by OpenVINO's own reader: its conversion tool would report its use over the internet.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved, compiled = Path(folder, "saved"), Path(folder, "compiled.xml")
        signature = [keras.InputSpec(shape=network.input_shape, dtype="float32", name="pictures")]
        network.export(saved, format="tf_saved_model", verbose=False, input_signature=signature)
        form = openvino.Core().read_model(saved)
        form.outputs[0].get_tensor().set_names({"logits"})
        openvino.serialize(form, compiled)
        return CompiledForm(compiled.read_bytes(), compiled.with_suffix(".bin").read_bytes())


def compare(recipe: Recipe, trained: Logits, compiled: Logits) -> Equality:
    """Compare the logits of the same pictures: by their scores, and by what the recipe makes of them.

    Args:
        recipe: with the thresholds that will judge on the line.
        trained: (pictures, labels), of the trained network.
        compiled: (pictures, labels), of the compiled form.
    """
    expected, found = scores_of(trained, recipe.task), scores_of(compiled, recipe.task)
    changed = sum(
        judge(recipe, before).verdict is not judge(recipe, after).verdict
        for before, after in zip(expected, found, strict=True)
    )
    return Equality(
        pictures=len(expected),
        largest_score_difference=float(np.abs(expected - found).max()),
        changed_verdicts=changed,
    )
