"""What may be chosen for a training: the contract between those who order one and the trainer."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.contracts.bundle import Variant

ARCHITECTURES: Final = {
    "efficientnet-lite0": (
        "A deep network that starts from ImageNet's weights: the choice for hundreds of images of a real product."
    ),
    "lite0-texture": (
        "ImageNet's first layers, and a small residual network on them, all trained: "
        "for fine texture such as cloth and seams."
    ),
    "compact": (
        "A small residual network, trained from nothing: "
        "quick to train and to run, where there are thousands of images."
    ),
    "seam-resnet": (
        "The network of the first seam inspection, trained from nothing: to compare with what was there before."
    ),
    "fruit-convnet": (
        "Four convolutions and two dense layers, trained from nothing: for large things of plain shape and colour."
    ),
}
"""What each is for, in a sentence. The trainer builds networks of ``keras.applications`` by their names too."""


LARGEST_SEED: Final = 2**32 - 1
"""NumPy's generators of old, which Keras seeds as well, take 32 bits."""


class Precision(StrEnum):
    """The numbers that a training reckons in; what is kept is float32 in any case."""

    AUTO = "auto"
    """Mixed where this machine is known to be quicker so with this architecture, and float32 elsewhere."""
    FLOAT32 = "float32"
    MIXED = "mixed"
    """Half as many bits in most layers: float16 on a GPU with tensor cores, bfloat16 on a processor that has it."""


class Shares(BaseModel):
    """How the images are shared out."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    train: float = 0.78
    valid: float = 0.20
    test: float = 0.02

    def __str__(self) -> str:
        return f"{self.train:g},{self.valid:g},{self.test:g}"

    @model_validator(mode="after")
    def _make_one(self) -> Shares:
        if min(self.train, self.valid, self.test) <= 0 or abs(self.train + self.valid + self.test - 1) > 1e-6:
            raise ValueError("the shares of train, valid and test are above 0 and make 1 together")
        return self


class TrainingOptions(BaseModel):
    """Options of one training; kept in its bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(30, ge=1, le=1000)
    patience: int = Field(10, ge=1, description="epochs without a better validation before it stops early")
    batch_size: int = Field(32, ge=1, le=1024)
    learning_rate: float | None = Field(None, gt=0, description="at its highest; None for the architecture's own")
    weight_decay: float | None = Field(None, ge=0, description="None for the architecture's own")
    precision: Precision = Field(Precision.AUTO, description="of the numbers that most layers reckon in")
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    shares: Shares = Shares()
    variants: tuple[Variant, ...] = Field((Variant.FP32, Variant.INT8), description="of the network, for inference")
    mistakes: int = Field(12, ge=0, le=100, description="of the test part, the worst, kept with their images")
    report: bool = Field(True, description="keep report.html with the model")
    skip_problems: bool = Field(False, description="pass over wrong rows and unreadable images")

    @field_validator("variants")
    @classmethod
    def _full_precision_is_kept(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        if Variant.FP32 not in variants:
            raise ValueError("fp32 is always made: the others come from it")
        return variants
