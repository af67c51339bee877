"""The options of a training: the contract between the services that request one and the trainer."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.contracts.bundle import Variant
from shared.contracts.operating_points import OperatingPointName
from shared.validation import marked

ARCHITECTURES: Final = {
    "lite0-depths": marked(
        "ImageNet's features of several depths, with a last layer that is fitted in seconds: "
        "the choice for tens to hundreds of images of a real product."
    ),
    "efficientnet-lite0": marked(
        "A deep network that starts from ImageNet's weights and judges by its deepest features: for things of "
        "different shape, such as fruit."
    ),
    "lite0-texture": marked(
        "ImageNet's first layers, and a small residual network on them, all trained: "
        "for fine texture such as cloth and seams."
    ),
    "compact": marked(
        "A small residual network, trained from random weights: "
        "quick to train and to run, where there are thousands of images."
    ),
    "seam-resnet": marked(
        "The network of the first seam inspection, trained from random weights: to compare with what was there before."
    ),
    "fruit-convnet": marked(
        "Four convolutions and two dense layers, trained from random weights: "
        "for large things of plain shape and colour."
    ),
}
"""The purpose of each architecture, the default first.

The trainer also builds networks of ``keras.applications`` by their names.
"""


LARGEST_SEED: Final = 2**32 - 1
"""NumPy's legacy generators, which Keras seeds as well, take 32 bits."""


class Precision(StrEnum):
    """The number format of a training; the stored weights are float32."""

    AUTO = "auto"
    """Mixed if it is known to be faster on this machine with this architecture, else float32."""
    FLOAT32 = "float32"
    MIXED = "mixed"
    """16 bits in most layers: float16 on a GPU with tensor cores, bfloat16 on a processor that supports it."""


class Shares(BaseModel):
    """The shares of the images in the three splits."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    train: float = 0.78
    valid: float = 0.20
    test: float = 0.02

    def __str__(self) -> str:
        return f"{self.train:g},{self.valid:g},{self.test:g}"

    @model_validator(mode="after")
    def _check_sum(self) -> Shares:
        if min(self.train, self.valid, self.test) <= 0 or abs(self.train + self.valid + self.test - 1) > 1e-6:
            raise ValueError("the shares of train, valid and test are above 0 and make 1 together")
        return self


class TrainingOptions(BaseModel):
    """The options of one training; stored in its bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="epochs in which all layers are trained; 0: the last layer alone, on pretrained features; None: 0 "
        "if the network starts from pretrained weights, else 30",
    )
    minutes: float = Field(
        10,
        ge=0,
        le=1440,
        description="minutes that a training of the last layer may take, about; while there is time, other features "
        "and images are tried; 0: nothing but the recipe's image and a linear last layer",
    )
    patience: int = Field(10, ge=1, description="epochs without improvement before the training stops early")
    batch_size: int = Field(32, ge=1, le=1024)
    learning_rate: float | None = Field(None, gt=0, description="highest learning rate; None: the architecture's own")
    weight_decay: float | None = Field(None, ge=0, description="weight decay; None: the architecture's own")
    precision: Precision = Field(Precision.AUTO, description="number format of most layers")
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    shares: Shares = Shares()
    operating_point: OperatingPointName | None = Field(
        None,
        description="what the thresholds are chosen for; None: least-cost if the recipe has a defect rate, else "
        "balanced",
    )
    good_only: bool | None = Field(
        None,
        description="learn from images of good parts alone; None: while fewer than 5 images show an NG part, and the "
        "architecture is the default",
    )
    overkill: float = Field(
        0.05, gt=0, le=0.5, description="share of good parts that a model of good images alone may call NG"
    )
    variants: tuple[Variant, ...] = Field((Variant.FP32, Variant.INT8), description="compiled variants of the network")
    mistakes: int = Field(
        12, ge=0, le=100, description="number of worst mistakes on the test split that are stored with their images"
    )
    report: bool = Field(True, description="store report.html with the model")
    skip_problems: bool = Field(False, description="skip wrong rows and unreadable images")

    @field_validator("variants")
    @classmethod
    def _check_full_precision(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        if Variant.FP32 not in variants:
            raise ValueError("fp32 is always made: the others come from it")
        return variants
