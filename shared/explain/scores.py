"""How far the heatmaps of a model can be trusted, label by label: what an evaluation says about them.

Whether they point at the thing, beside the centre of the image and blind luck; how much of their heat is in it;
whether the network needs what they call hot; and whether they change when its weights are shuffled, as they must
(Adebayo et al. 2018, arXiv 1810.03292). `shared.explain.scoring` measures it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Measured(BaseModel):
    """A mean over images, with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


class LabelHeatmaps(BaseModel):
    """The heatmaps of one label."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(description="that have the label, and a mask of it")
    towards: bool = Field(description="True: maps of what speaks for the label; False: of what speaks against it")
    pointing: Measured = Field(description="share of maps whose peak is in the mask, or within the tolerance of it")
    centre: Measured = Field(description="the same, of the middle of the image")
    random: Measured = Field(description="the same, of a pixel drawn by lot")
    advantage: Measured = Field(description="pointing less centre, image by image")
    energy: Measured = Field(description="part of the heat that is in the mask")
    area: Measured = Field(description="part of the image that is in the mask")
    deletion: Measured = Field(description="mean score while the hottest places are blurred; low is good")
    deletion_random: Measured = Field(description="the same, in the order of a map drawn by lot")
    insertion: Measured = Field(description="mean score while the hottest places appear; high is good")
    insertion_random: Measured = Field(description="the same, in the order of a map drawn by lot")
    curves: int = Field(description="images that deletion and insertion were measured on")
    alike: Measured = Field(description="rank correlation with the maps of the same network with shuffled weights")
    trustworthy: bool | None = Field(description="None: too few images to say")
    reason: str = Field("", description="why not, in one line")


class HeatmapScores(BaseModel):
    """The heatmaps of a model. A label that no image has a mask of is missing: nothing is known about it."""

    model_config = ConfigDict(frozen=True)

    method: str
    layer: str
    tolerance: float = Field(description="part of the image's shorter side that a peak may lie beside a mask")
    labels: dict[str, LabelHeatmaps]
