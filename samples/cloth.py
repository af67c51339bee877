"""Draw cloth: its weave, and its texture by procedural noise on a lattice of yarns."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from samples.raster import Array, Raster, vector

ClothKind: TypeAlias = Literal["plain", "woven", "twill", "denim"]
CLOTH_KINDS: tuple[ClothKind, ...] = get_args(ClothKind)
Colour: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Weave:
    """How warp (running down the image) and weft (running along it) cross.

    In each `repeat` warps the weft lies on top of `floats` warps, shifted by `step` in the next row.
    """

    repeat: int
    floats: int
    step: int


WEAVES: dict[ClothKind, Weave] = {
    "plain": Weave(repeat=2, floats=1, step=1),
    "woven": Weave(repeat=2, floats=1, step=1),
    "twill": Weave(repeat=4, floats=2, step=1),
    "denim": Weave(repeat=3, floats=1, step=1),
}


@dataclass(frozen=True)
class Cloth:
    """One cloth as bought from the weaver. Colours are BGR, 0..255."""

    kind: ClothKind
    colour_name: str
    colour: Colour
    weft_colour: Colour
    warp_mm: float
    """Distance of neighbouring warp yarns."""
    weft_mm: float
    """Distance of neighbouring weft yarns."""
    depth: float
    """How dark it is between the yarns, 0..1 of the brightness."""
    grain: float
    """Contrast of the fine unordered grain (crepe, pile, leatherette), 0..1 of the brightness."""
    grain_mm: float
    slub: float
    """How uneven the single yarns are, 0..1 of the brightness."""

    @property
    def name(self) -> str:
        """Return kind and colour, as in the tables: `denim indigo`."""
        return f"{self.kind} {self.colour_name}"


def draw_cloth(cloth: Cloth, raster: Raster, angle: float, rng: np.random.Generator) -> Array:
    """Return the bare cloth, float32 BGR (H, W, 3), 0..255 (not clipped), its warp rotated by `angle` radians."""
    light, weft = _yarns(cloth, raster, angle, rng)
    light *= _grain(cloth, raster, rng)
    light *= 1 + np.float32(0.02) * raster.noise(rng, 9.0, 9.0)
    warp_colour, weft_colour = vector(*cloth.colour), vector(*cloth.weft_colour)
    return (warp_colour + weft[..., None] * (weft_colour - warp_colour)) * light[..., None]


def _yarns(cloth: Cloth, raster: Raster, angle: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the brightness (about 1) and the share of the weft's colour (0..1) of each pixel, each (H, W)."""
    u, v = _lattice(cloth, raster, angle, rng)
    warp, weft = np.floor(u), np.floor(v)
    across_warp, across_weft = _hump(u - warp), _hump(v - weft)
    i, j = warp.astype(np.int32), weft.astype(np.int32)
    weave = WEAVES[cloth.kind]
    weft_on_top = ((i + weave.step * j) % weave.repeat) < weave.floats
    height = np.where(weft_on_top, across_weft * (0.55 + 0.45 * across_warp), across_warp * (0.7 + 0.3 * across_weft))
    crossings = rng.standard_normal((64, 64), dtype=np.float32)[j % 64, i % 64]
    warps = rng.standard_normal(251, dtype=np.float32)[i % 251]
    wefts = rng.standard_normal(241, dtype=np.float32)[j % 241]
    uneven = np.float32(cloth.slub) * (np.where(weft_on_top, wefts, warps) + 0.8 * crossings)
    light = 1 + np.float32(cloth.depth) * (height - np.float32(0.62)) + uneven
    return light.astype(np.float32), _weft_share(weft_on_top, height, crossings)


def _lattice(cloth: Cloth, raster: Raster, angle: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the numbers of the warp and weft at each pixel, with fractions across the yarn, each (H, W)."""
    x, y = raster.grid()
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u = (x * cosine + y * sine) / np.float32(cloth.warp_mm) + 0.22 * raster.noise(rng, 3.0, 5.0)
    v = (y * cosine - x * sine) / np.float32(cloth.weft_mm) + 0.22 * raster.noise(rng, 5.0, 3.0)
    return u + 4096, v + 4096


def _hump(fraction: Array) -> Array:
    """Return the height of a yarn across itself: 0 at its edges, 1 in its middle."""
    return 1 - (2 * fraction - 1) ** 2


def _weft_share(on_top: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], height: Array, crossings: Array) -> Array:
    """Return the share of the weft's colour, 0..1: soft at its edges, and some crossings are worn or covered."""
    strength = np.clip(0.95 + 0.22 * crossings, 0.1, 1.15)
    return np.where(on_top, np.clip(height * 2.8 - 0.3, 0, 1) * strength, 0).astype(np.float32)


def _grain(cloth: Cloth, raster: Raster, rng: np.random.Generator) -> Array:
    """Return the brightness from fibres, pores and pile, (H, W), about 1; the dark pores deviate most."""
    size = cloth.grain_mm
    fine = raster.noise(rng, size, 0.55 * size)
    coarse = raster.noise(rng, 1.6 * size, size)
    pores = np.minimum(0.8 * fine + 0.6 * coarse, 0.9)
    return 1 + np.float32(cloth.grain) * pores
