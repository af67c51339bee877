"""Draw a video of sewn pieces passing under a camera, frame by frame with its labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from samples.camera import FIELD_OF_VIEW_MM, Camera
from samples.choices import chance, one_of
from samples.defect import KINDS_OF, DefectKind, DefectLabel, PlannedDefect, label_of
from samples.still import MARGIN_MM, STITCH_MM, STITCHES, ZOOM, Stitch, cut_piece
from samples.strip import Piece, draw_strip
from samples.swatch import Swatch, swatches
from samples.truth import Frame, judge

Stitches: TypeAlias = Literal["mixed", "2mm", "4mm"]
PART_FRAMES = (20, 60)
STEP_MM = (2.0, 4.0)
"""Range of the distance that the cloth moves from frame to frame."""
BESIDE_MM = (8.0, 16.0)
"""Range of the distance from a defect to its companion."""
WITH_COMPANION = 0.25


@dataclass(frozen=True)
class SeamVideo:
    """Sewn pieces passing under one camera, one after the other, each of its own cloth and thread.

    Iterating draws the frames, piece by piece; iterating again draws the same ones. Defects are planned so that the
    share of defective frames approaches `defect_rate` (0..1) over the video. Each defect is in view for about ten
    frames, so a short video has either none or too many.
    """

    seed: int = 0
    frames: int = 1500
    size: int = 224
    defect_rate: float = 0.05
    stitch: Stitches = "mixed"
    swatches: Sequence[Swatch] = field(default_factory=lambda: swatches(0, 40))

    def __iter__(self) -> Iterator[Frame]:
        setup = np.random.default_rng([self.seed, 0])
        camera, step_mm = Camera(self.size, setup), setup.uniform(*STEP_MM)
        drawn = defective = part = 0
        while drawn < self.frames:
            part += 1
            rng = np.random.default_rng([self.seed, part])
            length = min(int(rng.integers(PART_FRAMES[0], PART_FRAMES[1] + 1)), self.frames - drawn)
            owed = self.defect_rate * (drawn + length) - defective
            for frame in self._part(part=part, length=length, owed=owed, camera=camera, step_mm=step_mm, rng=rng):
                drawn += 1
                defective += not frame.truth.labels["good"]
                yield frame

    def _part(
        self, *, part: int, length: int, owed: float, camera: Camera, step_mm: float, rng: np.random.Generator
    ) -> Iterator[Frame]:
        """Yield the frames of one piece, with about `owed` defective frames."""
        sewn = one_of(rng, self.swatches)
        stitch: Stitch = self.stitch if self.stitch != "mixed" else one_of(rng, STITCHES)
        view_mm = FIELD_OF_VIEW_MM / rng.uniform(*ZOOM)
        blank = cut_piece(sewn, STITCH_MM[stitch], view_mm, step_mm * (length - 1), rng)
        piece = replace(blank, defects=_plan(blank, owed, view_mm / step_mm, rng))
        strip = draw_strip(piece, self.size / view_mm, rng)
        for number in range(length):
            x_mm = MARGIN_MM + view_mm / 2 + number * step_mm
            view = camera.look(strip, x_mm, piece.height_mm / 2, rng)
            image = camera.shoot(strip, view, 0.06 * step_mm, rng)
            yield Frame(image, judge(view, strip.defects, piece.stitch_length_mm, part, sewn))


def _plan(piece: Piece, owed: float, frames_in_view: float, rng: np.random.Generator) -> tuple[PlannedDefect, ...]:
    """Return the defects of a piece, so that about `owed` frames show one."""
    planned: list[PlannedDefect] = []
    while owed > frames_in_view * rng.uniform(0.2, 0.9) and len(planned) < piece.length_mm / 20:
        first = PlannedDefect(_any_kind(rng), rng.uniform(MARGIN_MM, piece.length_mm - 25))
        planned.append(first)
        owed -= frames_in_view
        if chance(rng, WITH_COMPANION):
            other: DefectLabel = "error" if label_of(first.kind) == "break" else "break"
            planned.append(PlannedDefect(_any_kind(rng, (other,)), first.at_mm + rng.uniform(*BESIDE_MM)))
    return tuple(planned)


def _any_kind(rng: np.random.Generator, labels: Sequence[DefectLabel] = tuple(KINDS_OF)) -> DefectKind:
    return one_of(rng, KINDS_OF[one_of(rng, labels)])
