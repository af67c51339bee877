"""Damage the sewn cloth: stains, pinches and puckers, which are errors of the cloth and not of the thread."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from samples.choices import chance, one_of, side
from samples.cloth import Colour
from samples.defect import ClothDefectKind
from samples.raster import Array, Image, Raster, vector

STAIN_TONES: dict[str, Colour] = {
    "oil": (30, 44, 52),
    "grease": (38, 38, 40),
    "rust": (36, 78, 148),
    "dirt": (62, 84, 104),
    "ink": (150, 66, 48),
    "lipstick": (70, 44, 168),
    "scuff": (228, 224, 226),
}
SMALLEST_STAIN_CONTRAST = 42.0
"""Smallest distance in BGR between a stain and its cloth, so that a person sees it."""
DARKEST, BRIGHTEST = 0.3, 1.8
"""The least and the most light on a fold, as a share of the light on flat cloth."""
AROUND_STAIN_MM = 0.5
VISIBLE_COVER = 0.2
"""Share of a stain's colour from which on its mask covers the cloth."""
VISIBLE_SHADE = 0.05
"""Change of brightness from which on the mask of a fold covers the cloth."""


@dataclass(frozen=True)
class SewnCloth:
    """A sewn strip, drawn at its final size, to be damaged."""

    image: Image
    """uint8 BGR (H, W, 3)"""
    raster: Raster
    holes: Array
    """The needle holes, (n, 2) in mm."""

    def seam_y(self, x_mm: float) -> float:
        """Return the height of the seam at a place along it, in mm."""
        return float(np.interp(x_mm, self.holes[:, 0], self.holes[:, 1]))


@dataclass(frozen=True)
class Damage:
    """The damaged strip, uint8 BGR (H, W, 3), and where the damage is seen: 0 or 255, (H, W)."""

    image: Image
    mask: Image


@dataclass(frozen=True)
class Axis:
    """A direction on the cloth, in radians, from a place (2,) in mm."""

    start: Array
    heading: float

    @property
    def direction(self) -> Array:
        """Return the unit vector along it, (2,)."""
        return vector(np.cos(self.heading), np.sin(self.heading))

    def grid(self, raster: Raster) -> tuple[Array, Array]:
        """Return how far each pixel lies along the axis and across it, each (H, W) in mm."""
        x, y = raster.grid()
        cosine, sine = self.direction
        right, down = x - np.float32(self.start[0]), y - np.float32(self.start[1])
        return right * cosine + down * sine, down * cosine - right * sine


@dataclass(frozen=True)
class Ridge:
    """A ridge of cloth that begins at a place, (2,) in mm, and fades out in a direction."""

    axis: Axis
    length_mm: float
    width_mm: float
    widening: float
    """How much wider it gets with each millimetre."""
    bow: float
    """How far it bends aside at a millimetre from its beginning, in mm."""


def damage(kind: ClothDefectKind, sewn: SewnCloth, at_mm: float, rng: np.random.Generator) -> Damage:
    """Return the cloth with damage that begins near `at_mm`, from the left end of the strip."""
    return DAMAGES[kind](sewn, at_mm, rng)


def stain(sewn: SewnCloth, at_mm: float, rng: np.random.Generator) -> Damage:
    """Return cloth with a blot, a smudge, a run or a spray of dots, mostly on the seam or near it."""
    x = at_mm + rng.uniform(4.0, 9.0)
    away = rng.normal(0, 1.0) if chance(rng, 0.4) else side(rng) * rng.uniform(2.0, 10.0)
    centre = vector(x, np.clip(sewn.seam_y(x) + away, 6.0, sewn.raster.height_mm - 6.0))
    cover = one_of(rng, (_blot, _smudge, _smudge, _run, _spray))(sewn.raster, centre, rng)
    tone, strength = _tone_on(sewn, cover, rng)
    cover *= np.float32(strength)
    bare = sewn.image.astype(np.float32)
    image = bare + cover[..., None] * (tone - bare)
    seen = (cover > VISIBLE_COVER * strength).astype(np.uint8) * 255
    return Damage(_as_image(image), _grown(seen, sewn.raster, AROUND_STAIN_MM))


def _tone_on(sewn: SewnCloth, cover: Array, rng: np.random.Generator) -> tuple[Array, float]:
    """Return the colour of a stain, (3,), and how much of the cloth it hides, 0..1, visible on this cloth."""
    there = cover > 0.3
    cloth = (sewn.image[there] if there.any() else sewn.image.reshape(-1, 3)).astype(np.float32)
    mean, texture = cloth.mean(axis=0), float(cloth.std(axis=0).mean())
    least = SMALLEST_STAIN_CONTRAST + 0.8 * texture
    tones = [vector(*tone) for tone in STAIN_TONES.values()]
    suitable = [tone for tone in tones if np.linalg.norm(tone - mean) > 1.4 * least]
    tone = one_of(rng, suitable) if suitable else max(tones, key=lambda tone: float(np.linalg.norm(tone - mean)))
    lowest = float(np.clip(least / np.linalg.norm(tone - mean), 0.4, 0.85))
    return tone, rng.uniform(lowest, min(0.95, lowest + 0.35))


def _blot(raster: Raster, centre: Array, rng: np.random.Generator) -> Array:
    """Return the cover of one to three drops that soaked in, 0..1, (H, W); some dried with a darker rim."""
    x, y = raster.grid()
    ragged = 0.22 * raster.noise(rng, 2.5, 2.5) + 0.1 * raster.noise(rng, 0.9, 0.9)
    cover = np.zeros(raster.shape, dtype=np.float32)
    rim = rng.uniform(0.2, 0.6) if chance(rng, 0.35) else 0.0
    for number in range(int(rng.integers(1, 4))):
        radius = rng.uniform(1.4, 4.2) if number == 0 else rng.uniform(0.5, 1.4)
        spot = centre + (rng.normal(0, 3.0, 2) if number else 0)
        squeeze = rng.uniform(0.65, 1.5)
        far = np.hypot((x - spot[0]) / radius, (y - spot[1]) / (radius * squeeze)) + ragged
        inside = np.clip((1 - far) / rng.uniform(0.2, 0.6) + 0.3, 0, 1)
        cover = np.maximum(cover, inside * (1 - rim * np.clip(1 - far, 0, 1)))
    return cover


def _smudge(raster: Raster, centre: Array, rng: np.random.Generator) -> Array:
    """Return the cover of a few strokes of something that rubbed against the cloth, 0..1, (H, W)."""
    cover = np.zeros(raster.shape, dtype=np.float32)
    slope = rng.normal(0, 0.3) + (np.pi / 2 if chance(rng, 0.25) else 0)
    for number in range(int(rng.integers(1, 4))):
        start = centre + (rng.normal(0, 2.5, 2) if number else 0)
        length, width = rng.uniform(4.0, 14.0), rng.uniform(0.9, 2.6)
        stroke = _stroke(raster, Axis(start, slope + rng.normal(0, 0.12)), length, width, rng)
        cover = np.maximum(cover, stroke)
    return cover


def _run(raster: Raster, centre: Array, rng: np.random.Generator) -> Array:
    """Return the cover of a drop and the streak that it left, 0..1, (H, W)."""
    axis = Axis(centre, rng.uniform(-np.pi, np.pi))
    length, width = rng.uniform(5.0, 16.0), rng.uniform(0.7, 1.6)
    drop = centre + axis.direction * np.float32(length / 2)
    x, y = raster.grid()
    far = np.hypot(x - drop[0], y - drop[1]) / rng.uniform(1.0, 2.2) + 0.3 * raster.noise(rng, 1.5, 1.5)
    streak = rng.uniform(0.45, 0.9) * _stroke(raster, axis, length, width, rng)
    return raster.blur(np.maximum(streak, np.clip((1 - far) * 1.6, 0, 1)), rng.uniform(0.1, 0.3))


def _stroke(raster: Raster, axis: Axis, length: float, width: float, rng: np.random.Generator) -> Array:
    """Return the cover of one soft stroke, 0..1, (H, W), in mm and with its middle where its axis starts.

    Its bristles run along it.
    """
    along, across = axis.grid(raster)
    across = across + np.float32(rng.normal(0, 0.012)) * along**2
    bristles = rng.standard_normal((32, 96), dtype=np.float32)
    columns = (along * np.float32(1.2) + 48).clip(0, 95)
    rows = (across * np.float32(5.0) + 16).clip(0, 31)
    texture = cv2.remap(bristles, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR)
    body = 1.25 - (np.abs(along) / (length / 2)) ** 3 - (np.abs(across) / (width / 2)) ** 2
    return np.asarray(np.clip(body + 0.45 * texture, 0, 1), dtype=np.float32)


def _spray(raster: Raster, centre: Array, rng: np.random.Generator) -> Array:
    """Return the cover of a spray of small dots, 0..1, (H, W), dense in its middle."""
    cover = np.zeros(raster.shape, dtype=np.float32)
    spread = vector(rng.uniform(1.5, 4.5), rng.uniform(0.8, 2.5))
    for dot in centre + rng.standard_normal((int(rng.integers(40, 160)), 2)) * spread:
        at = (dot * raster.pixels_per_mm * 16).round().astype(int)
        radius = rng.gamma(1.6, 0.06) + 0.05
        cv2.circle(cover, (int(at[0]), int(at[1])), round(radius * raster.pixels_per_mm * 16), 1.0, -1, cv2.LINE_AA, 4)
    return np.asarray(np.minimum(1.7 * raster.blur(cover, rng.uniform(0.08, 0.16)), 1), dtype=np.float32)


def pinch(sewn: SewnCloth, at_mm: float, rng: np.random.Generator) -> Damage:
    """Return cloth with a fold caught in the seam: one or two ridges, or a star of them around one stitch."""
    x = at_mm + rng.uniform(5.0, 10.0)
    at = vector(x, sewn.seam_y(x) + rng.normal(0, 0.3))
    first = rng.uniform(-np.pi, np.pi) if chance(rng, 0.4) else side(rng) * np.pi / 2 + rng.normal(0, 0.5)
    if chance(rng, 0.45):
        headings = first + np.arange(rays := int(rng.integers(4, 8))) * 2 * np.pi / rays + rng.normal(0, 0.35, rays)
        lengths, strengths = rng.uniform(5.0, 14.0, rays), rng.uniform(0.4, 1.0, rays)
        widening = rng.uniform(0.12, 0.3)
    else:
        headings = np.array([first, first + np.pi + rng.normal(0, 0.5)])[: 1 + chance(rng, 0.75)]
        lengths, strengths = rng.uniform(7.0, 22.0, len(headings)), rng.uniform(0.8, 1.0, len(headings))
        widening = rng.uniform(0.0, 0.1)
    width, strength = rng.uniform(0.5, 1.4), rng.uniform(0.17, 0.42)
    bow = rng.normal(0, 0.015)
    shade = np.zeros(sewn.raster.shape, dtype=np.float32)
    for heading, length, share in zip(headings, lengths, strengths, strict=True):
        ridge = Ridge(Axis(at, float(heading)), float(length), width, widening, bow)
        shade += _ridge(sewn.raster, ridge) * np.float32(share)
    shade *= 1 + 0.15 * sewn.raster.noise(rng, 4.0, 4.0)
    swallowed = _swallowed(sewn, Axis(at, first), rng.uniform(0.6, 2.0), rng.uniform(-0.8, 0.8))
    return _folded(sewn, swallowed, shade, strength)


def _ridge(raster: Raster, ridge: Ridge) -> Array:
    """Return the change of brightness on a ridge, -1..1, (H, W).

    One flank is lit; the other one lies in shadow, with a sharp edge on the crest.
    """
    along, across = ridge.axis.grid(raster)
    across = across + np.float32(ridge.bow) * along**2
    cosine, sine = ridge.axis.direction
    lit = 1.0 if 0.5 * sine - 0.8 * cosine > 0 else -1.0
    reach = np.float32(ridge.width_mm) + np.float32(ridge.widening) * np.maximum(along, 0)
    flank = across * np.float32(lit) / reach
    far = np.abs(flank)
    light = np.where(flank > 0, 0.75 * np.exp(-far * 0.9), -np.exp(-far * 0.55)) * np.tanh(far * 3.5)
    fading = np.exp(-((np.maximum(along, 0) / np.float32(ridge.length_mm)) ** 2)) * np.clip(along / 1.2 + 0.8, 0, 1)
    return np.asarray(light * fading, dtype=np.float32)


def _swallowed(sewn: SewnCloth, axis: Axis, lost_mm: float, shear_mm: float) -> Image:
    """Return the cloth without the part that the fold swallowed, so that the seam breaks off on its crest."""
    x, y = sewn.raster.grid()
    cosine, sine = axis.direction
    along, across = axis.grid(sewn.raster)
    pull = np.tanh(across / np.float32(0.25)) * np.exp(-np.abs(across) / 5) * np.exp(-((along / 9) ** 2)) / 2
    right = x - pull * np.float32(lost_mm) * sine + pull * np.float32(shear_mm) * cosine
    down = y + pull * np.float32(lost_mm) * cosine + pull * np.float32(shear_mm) * sine
    return _moved(sewn, right, down)


def pucker(sewn: SewnCloth, at_mm: float, rng: np.random.Generator) -> Damage:
    """Return cloth that the thread gathered: several waves across the seam, oblique and fanning out."""
    raster = sewn.raster
    wave = rng.uniform(3.0, 8.5)
    half = max(rng.uniform(6.0, 18.0), 1.6 * wave)
    middle = at_mm + half * rng.uniform(0.6, 1.0)
    x, y = raster.grid()
    off = y - np.interp(x[0], sewn.holes[:, 0], sewn.holes[:, 1]).astype(np.float32)[None, :]
    lean = np.where(off < 0, rng.normal(0, 0.6), rng.normal(0, 0.6)).astype(np.float32)
    fan = 1 + np.abs(off) * np.float32(rng.uniform(0.01, 0.07))
    across = (x - middle - lean * np.abs(off)) / fan + 0.4 * raster.noise(rng, 10.0, 8.0)
    shape = _waves(wave, rng)
    columns = (across * np.float32(20) + 1024).clip(0, 2047).astype(np.float32)
    shade = cv2.remap(shape, columns, np.zeros_like(columns), cv2.INTER_LINEAR)
    reach = np.where(off < 0, rng.uniform(4.0, 17.0), rng.uniform(4.0, 17.0)).astype(np.float32)
    envelope = np.exp(-((across / np.float32(half)) ** 4)) * np.exp(-((np.abs(off) / reach) ** 1.5))
    envelope = (envelope * np.clip(0.9 + 0.3 * raster.noise(rng, 6.0, 6.0), 0.3, 1.2)).astype(np.float32)
    waves = np.asarray(shade, dtype=np.float32) * envelope
    gathered = _moved(sewn, x + 0.35 * waves, y + np.float32(rng.uniform(0.1, 0.4)) * waves)
    return _folded(sewn, gathered, waves, rng.uniform(0.15, 0.32))


def _waves(wave_mm: float, rng: np.random.Generator) -> Array:
    """Return the brightness of uneven waves at every twentieth of a millimetre, (1, 2048), about -1.5..1.5."""
    steps = wave_mm * rng.uniform(0.5, 1.6, 80) / 2
    heights = rng.uniform(0.25, 1.2, 80) * np.where(np.arange(80) % 2, 1, -1)
    places = np.cumsum(steps)
    heights = np.interp(np.arange(2048) / 20, places - places[-1] / 2 + 51.2, heights).astype(np.float32)
    sharpness = rng.uniform(0.08, 0.2) * wave_mm * 20
    height = cv2.GaussianBlur(heights[None, :], (0, 0), float(sharpness), borderType=cv2.BORDER_REFLECT)
    slope = np.gradient(height[0]) * 20 * wave_mm / 4
    return np.asarray(slope[None, :] * side(rng), dtype=np.float32)


def _effort(sewn: SewnCloth) -> float:
    """Return how much stronger a fold must be, from 1, to be seen on cloth that is dark or has a coarse weave."""
    mean, deviation = (float(number[0, 0]) for number in cv2.meanStdDev(cv2.cvtColor(sewn.image, cv2.COLOR_BGR2GRAY)))
    return min(1 + 1.6 * deviation / max(mean, 20.0) + max(0.0, 70 - mean) / 140, 2.0)


def _moved(sewn: SewnCloth, x_mm: Array, y_mm: Array) -> Image:
    """Return the cloth with what was at (`x_mm`, `y_mm`), both (H, W), at each pixel."""
    scale = np.float32(sewn.raster.pixels_per_mm)
    columns, rows = (np.ascontiguousarray(place * scale - np.float32(0.5), dtype=np.float32) for place in (x_mm, y_mm))
    return np.asarray(
        cv2.remap(sewn.image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8
    )


def _folded(sewn: SewnCloth, moved: Image, shade: Array, strength: float) -> Damage:
    """Return moved cloth under the light of its folds.

    Args:
        sewn: the cloth before it was folded.
        moved: the cloth as the folds displaced it.
        shade: the change of brightness, (H, W), of any scale.
        strength: the change where the folds are strong, as a share of the brightness; more on dark and coarse cloth.
    """
    clear = np.abs(shade[np.abs(shade) > 0.25 * float(np.abs(shade).max())])
    shade = shade * np.float32(strength * _effort(sewn) / max(float(np.percentile(clear, 90)), 1e-6))
    seen = (np.abs(shade) > max(VISIBLE_SHADE, 0.3 * strength)).astype(np.uint8) * 255
    light = np.clip(1 + shade, DARKEST, BRIGHTEST)
    return Damage(_as_image(moved * light[..., None]), _grown(seen, sewn.raster, 1.0))


def _grown(mask: Image, raster: Raster, around_mm: float) -> Image:
    size = 2 * max(1, round(around_mm * raster.pixels_per_mm)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(mask, kernel), dtype=np.uint8)


def _as_image(colours: Array) -> Image:
    return np.clip(colours, 0, 255).astype(np.uint8)


DAMAGES: dict[ClothDefectKind, Callable[[SewnCloth, float, np.random.Generator], Damage]] = {
    "stain": stain,
    "pinch": pinch,
    "pucker": pucker,
}
"""The function that draws each kind."""
