"""Choose numbered pairs of a cloth and its thread, the same in every run."""

from dataclasses import dataclass, replace

import numpy as np

from samples.choices import chance, one_of, side
from samples.cloth import CLOTH_KINDS, Cloth, ClothKind, Colour
from samples.seam import StitchStyle
from samples.thread import Thread

SWATCH_SEED = 20_517
"""Seed of all swatches: with another number, every swatch looks different."""

TONAL_SHARE = 0.35
"""Share of threads that match their cloth in tone, as tailors prefer."""
DARK_SUM = 300
"""If the channels of a cloth sum to less, it is too dark for a darker thread."""

CLOTH_COLOURS: dict[str, Colour] = {
    "grey": (140, 136, 136),
    "silver": (176, 174, 170),
    "charcoal": (78, 74, 72),
    "stone": (128, 138, 142),
    "beige": (140, 160, 172),
    "purple": (172, 99, 164),
    "red": (51, 13, 218),
    "white": (214, 218, 220),
    "black": (42, 38, 38),
    "navy": (84, 48, 36),
    "olive": (62, 104, 100),
    "sand": (128, 168, 192),
    "teal": (132, 120, 40),
    "brown": (50, 74, 108),
    "pink": (168, 148, 214),
    "sky": (204, 170, 124),
    "mauve": (146, 128, 140),
    "green": (78, 128, 58),
    "yellow": (60, 178, 216),
}
DENIM_COLOURS: dict[str, Colour] = {
    "indigo": (92, 66, 66),
    "black": (56, 50, 50),
    "blue": (118, 88, 70),
    "stonewash": (146, 122, 106),
}
THREAD_COLOURS: dict[str, Colour] = {
    "white": (228, 232, 234),
    "black": (34, 28, 30),
    "orange": (52, 140, 240),
    "green": (88, 150, 70),
    "dark purple": (72, 34, 60),
    "red": (44, 36, 196),
    "navy": (92, 52, 34),
    "gold": (70, 164, 206),
    "grey": (122, 120, 120),
    "brown": (46, 66, 96),
    "sky": (212, 164, 92),
    "ecru": (178, 206, 216),
}


@dataclass(frozen=True)
class SuitableThreads:
    """The threads that suit a kind of cloth."""

    width_mm: tuple[float, float]
    sink: float
    """How far it may sink into the cloth, 0..1."""
    contrast: float
    """Smallest distance from the cloth in BGR, 0..441, at which people can tell a good stitch from a bad one."""


SUITABLE_THREADS: dict[ClothKind, SuitableThreads] = {
    "plain": SuitableThreads((0.38, 0.62), sink=0.15, contrast=50),
    "woven": SuitableThreads((0.38, 0.62), sink=0.35, contrast=60),
    "twill": SuitableThreads((0.38, 0.62), sink=0.2, contrast=55),
    "denim": SuitableThreads((0.5, 0.75), sink=0.2, contrast=95),
}


@dataclass(frozen=True)
class Swatch:
    """A cloth, its thread and the way they are sewn. Images of one swatch look alike and form a group."""

    number: int
    cloth: Cloth
    thread: Thread
    style: StitchStyle

    @property
    def name(self) -> str:
        """Return the group of its images: `swatch-007`."""
        return f"swatch-{self.number:03d}"


def swatch(number: int, kind: ClothKind | None = None) -> Swatch:
    """Return swatch `number`, from 0; kinds of cloth take turns unless `kind` is given."""
    kind = kind or CLOTH_KINDS[number % len(CLOTH_KINDS)]
    rng = np.random.default_rng([SWATCH_SEED, number, CLOTH_KINDS.index(kind)])
    cloth = _cloth(kind, rng)
    return Swatch(number, cloth, _thread(cloth, rng), _style(rng))


def swatches(first: int, count: int, kind: ClothKind | None = None) -> list[Swatch]:
    """Return `count` swatches from number `first` on, all of one `kind` if it is given."""
    return [swatch(number, kind) for number in range(first, first + count)]


def vary_swatch(sewn: Swatch, rng: np.random.Generator) -> Swatch:
    """Return a swatch with thicker or thinner thread and yarns, and a stronger or weaker grain."""
    yarns = rng.uniform(0.8, 1.35)
    cloth = replace(
        sewn.cloth,
        warp_mm=sewn.cloth.warp_mm * yarns,
        weft_mm=sewn.cloth.weft_mm * yarns * rng.uniform(0.85, 1.2),
        depth=sewn.cloth.depth * rng.uniform(0.7, 1.3),
        grain=sewn.cloth.grain * rng.uniform(0.7, 1.4),
        grain_mm=sewn.cloth.grain_mm * rng.uniform(0.8, 1.2),
    )
    thread = replace(sewn.thread, width_mm=sewn.thread.width_mm * rng.uniform(0.9, 1.4))
    return replace(sewn, cloth=cloth, thread=thread)


def _cloth(kind: ClothKind, rng: np.random.Generator) -> Cloth:
    colours = DENIM_COLOURS if kind == "denim" else CLOTH_COLOURS
    name = str(rng.choice(list(colours)))
    colour = _dye(colours[name], rng, 3.0 if kind == "denim" else 7.0)
    near = _dye(colour, rng, 4.0)
    if kind == "denim":
        undyed = _dye((206, 212, 214), rng, 6.0)
        yarn = rng.uniform(0.38, 0.6)
        return Cloth(kind, name, colour, undyed, yarn, yarn * rng.uniform(1.3, 1.8), 0.6, 0.16, 0.3, 0.12)
    if kind == "twill":
        yarn = rng.uniform(0.3, 0.5)
        depth = rng.uniform(0.25, 0.65)
        return Cloth(kind, name, colour, near, yarn, yarn * rng.uniform(0.8, 1.2), depth, 0.025, 0.3, 0.02)
    if kind == "woven":
        yarn = one_of(rng, (rng.uniform(0.35, 0.6), rng.uniform(0.7, 1.0)))
        depth, grain = rng.uniform(0.12, 0.4), rng.uniform(0.06, 0.14)
        return Cloth(kind, name, colour, near, yarn, yarn * 1.15, depth, grain, rng.uniform(0.24, 0.34), 0.03)
    grain, grain_mm = one_of(rng, (0.015, 0.06)), rng.uniform(0.34, 0.5)
    return Cloth("plain", name, colour, near, 0.38, 0.4, rng.uniform(0.02, 0.09), grain, grain_mm, 0.008)


def _dye(colour: Colour, rng: np.random.Generator, deviation: float) -> Colour:
    """Return a colour as one dye lot varies it."""
    blue, green, red = np.clip(np.asarray(colour) + rng.normal(0, deviation, 3), 8, 245)
    return float(blue), float(green), float(red)


def _thread(cloth: Cloth, rng: np.random.Generator) -> Thread:
    """Return a thread for a cloth, in its tone or in contrast to it."""
    name = str(rng.choice(list(THREAD_COLOURS)))
    colour = THREAD_COLOURS[name]
    if chance(rng, TONAL_SHARE):
        name = "tonal"
        colour = _shade(cloth.colour, float(rng.choice([0.62, 0.72, 1.3])))
    suitable = SUITABLE_THREADS[cloth.kind]
    return Thread(
        name,
        _visible_colour(_dye(colour, rng, 5.0), cloth, suitable.contrast),
        width_mm=rng.uniform(*suitable.width_mm),
        gloss=rng.uniform(0, 0.7),
        twist=rng.uniform(0.0, 0.6),
        sink=rng.uniform(0, suitable.sink),
    )


def _shade(colour: Colour, share: float) -> Colour:
    return min(colour[0] * share, 245), min(colour[1] * share, 245), min(colour[2] * share, 245)


def _visible_colour(thread: Colour, cloth: Cloth, contrast: float) -> Colour:
    """Return a thread colour; if it is not visible, one of jeans on denim, or one in the cloth's tone."""
    if all(np.linalg.norm(np.subtract(thread, shade)) >= contrast for shade in _shades(cloth)):
        return thread
    if cloth.kind == "denim":
        return THREAD_COLOURS["gold" if sum(cloth.colour) < DARK_SUM else "dark purple"]
    change = max(contrast / float(np.linalg.norm(cloth.colour)), 0.35)
    return _shade(cloth.colour, 1 - min(change, 0.7) if sum(cloth.colour) > DARK_SUM else 1 + change)


def _shades(cloth: Cloth) -> list[Colour]:
    """Return the colours behind a thread: the cloth's, and for denim also the mixture of warp and weft.

    Between two stitches on denim the dark warp shows, so a thread of its tone would be one dark line.
    """
    if cloth.kind != "denim":
        return [cloth.colour]
    blue, green, red = np.average([cloth.colour, cloth.weft_colour], axis=0, weights=(2, 1))
    return [cloth.colour, (float(blue), float(green), float(red))]


def _style(rng: np.random.Generator) -> StitchStyle:
    return StitchStyle(
        length_share=rng.uniform(0.7, 0.94),
        slant_mm=side(rng) * rng.uniform(0.1, 0.65),
        hook=one_of(rng, (0.0, rng.uniform(0.4, 1.0))),
        bow_mm=rng.normal(0, 0.07),
        hole_darkness=rng.uniform(0.25, 0.75),
        end_deviation_mm=rng.uniform(0.02, 0.08),
        line_amplitude_mm=rng.uniform(0.2, 1.8),
    )
