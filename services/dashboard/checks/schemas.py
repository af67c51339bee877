"""Challenge sets and checks in the form of the API."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from services.dashboard.checks.repository import StoredPart
from shared.label_names import LabelName
from shared.messages import CheckReport, DueCheck, Expected, LineChecked


class ChallengeImageView(BaseModel):
    """An image of a part of a challenge set."""

    camera: str
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    url: str = Field(examples=["/api/lines/line-1/challenge/images/0f3c9a1b.png"])


class ChallengePartView(BaseModel):
    """A part of a challenge set."""

    name: str = Field(examples=["hole-1"])
    expected: Expected
    defects: list[LabelName] = Field(description="labels that have to make it NG", examples=[["break"]])
    images: list[ChallengeImageView]
    fed: bool = Field(description="a real part, which can be fed to the cameras")
    by: str = Field(description="who stored it")
    at: datetime

    @classmethod
    def of(cls, line: str, stored: StoredPart) -> Self:
        """Return a stored part in this form."""
        part = stored.part
        return cls(
            name=part.name,
            expected=part.expected,
            defects=list(part.defects),
            images=[
                ChallengeImageView(
                    camera=image.camera, width=image.width, height=image.height, url=image_url(line, image.key)
                )
                for image in part.images
            ],
            fed=part.fed,
            by=stored.by,
            at=stored.at,
        )


class ChallengeSet(BaseModel):
    """The parts by which a line is checked."""

    line: str
    parts: list[ChallengePartView]


class LabelledPart(BaseModel):
    """A labelled image of a dataset, as a part of a challenge set."""

    place: int = Field(description="its number in the version of the dataset, from 0")
    name: str
    url: str = Field(description="of the small image")
    labels: list[LabelName] = Field(description="that the image has")
    expected: Expected = Field(description="the verdict that these labels mean by the recipe of the line")
    defects: list[LabelName] = Field(description="labels that have to make it NG")


class LabelledParts(BaseModel):
    """Labelled images of a dataset that can become parts of a challenge set."""

    dataset: str = Field(examples=["seam-2026@0003-3f9a2c1d"])
    labels: list[LabelName] = Field(description="of the dataset")
    count: int = Field(description="images that match")
    parts: list[LabelledPart]
    next: int | None = Field(description="`start` of the next page; null: this is the last one")


class ChosenImages(BaseModel):
    """The images of a dataset that become parts of a challenge set."""

    dataset: str = Field(max_length=200, description="name, or name@version", examples=["seam-2026@0003-3f9a2c1d"])
    places: list[int] = Field(
        min_length=1, max_length=100, description="numbers of images in the version", examples=[[0, 7]]
    )


class CheckOrder(BaseModel):
    """How a check is run."""

    recipe: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="recipe that has to inspect the parts; null: as frames without a trigger",
    )
    by_camera: bool = Field(
        False,
        description="whether real parts are fed to the cameras, in the order of their names, with triggers that say "
        "`check`; if not, the images of the parts are inspected",
    )
    part_seconds: float | None = Field(
        None,
        gt=0,
        le=600,
        description="for the verdicts on one part, at most; by camera, until the next part comes; null: 10, by camera "
        "300",
    )


class CheckStarted(BaseModel):
    """A check that was requested."""

    check_id: str = Field(examples=["check-01JF6Z6TX4W8E1V2M6C3N9Q7RB"])


class CheckList(BaseModel):
    """The checks of a line."""

    last: CheckReport | None = Field(description="the check that runs, or ended last, as the gateway reports it")
    due: DueCheck | None = Field(description="the check that is due, so that the line is not ready; null: none is")
    checks: list[LineChecked] = Field(description="the records of the checks that ended, newest first")


def image_url(line: str, key: str) -> str:
    """Return the address of an image of a challenge set by its key in object storage."""
    return f"/api/lines/{line}/challenge/images/{key.rpartition('/')[2]}"
