"""Draw thread that lies on cloth along a path."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from samples.cloth import Colour
from samples.raster import Array, Raster, vector

LIGHT = (-0.35, -0.55)
"""x and y of the direction from which light comes; the rest of it comes from above."""

SHADOW_REACH_MM = 2.0
"""Longest shadow of a thread."""


@dataclass(frozen=True)
class Thread:
    """One thread as it comes from the spool. Colours are BGR, 0..255."""

    colour_name: str
    colour: Colour
    width_mm: float
    gloss: float
    """How much brighter the thread's ridge is than its flanks, 0..1."""
    twist: float
    """Contrast of the thread's twisted plies, 0..1."""
    sink: float
    """How far the thread sinks into the cloth, 0..1: pile and soft cloth cover the thread in places."""


@dataclass(frozen=True)
class ThreadPath:
    """A piece of thread on top of the cloth; `points`, (n, 2), are in mm from the upper left corner of the strip."""

    points: Array
    lift_mm: float = 0.0
    """Height over the cloth: a lifted thread casts its shadow farther, and crosses over the sewn ones."""
    width: float = 1.0
    """Share of the thread's width: a frayed fibre is 0.2."""
    tone: float = 1.0
    """Brightness relative to the thread: no two stitches reflect exactly the same light."""
    dips: tuple[bool, bool] = (True, True)
    """Whether each of the two ends goes down through a needle hole."""


def bezier(*corners: npt.NDArray[np.floating]) -> Array:
    """Return forty points of the cubic curve with four control points, shape (40, 2)."""
    t = np.linspace(0, 1, 40)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
    return (weights @ np.stack(corners)).astype(np.float32)


def draw_paths(
    canvas: Array, raster: Raster, thread: Thread, paths: Sequence[ThreadPath], visible_share: Array
) -> None:
    """Draw `paths` with their shadows into `canvas`, (H, W, 3); `visible_share` is (H, W), 0..1."""
    if not paths:
        return
    window = raster.window(np.concatenate([path.points for path in paths]), SHADOW_REACH_MM)
    if window.empty:
        return
    moved = [replace(path, points=path.points - window.corner_mm) for path in paths]
    _draw(window.of(canvas), window.raster, thread, moved, window.of(visible_share))


def _draw(canvas: Array, raster: Raster, thread: Thread, paths: Sequence[ThreadPath], visible_share: Array) -> None:
    canvas *= (1 - _shadow(raster, thread, paths))[..., None]
    samples = _ribbon(thread, paths, raster)
    sums = raster.splat(samples.points, np.stack([samples.cover, samples.cover * samples.light], axis=1))
    cover = np.minimum(sums[..., 0], 1) * visible_share
    light = sums[..., 1] / np.maximum(sums[..., 0], 1e-3)
    canvas += cover[..., None] * (light[..., None] * vector(*thread.colour) - canvas)


def _shadow(raster: Raster, thread: Thread, paths: Sequence[ThreadPath]) -> Array:
    """Return the share of light that the thread's shadow takes from the cloth, (H, W), 0..0.3."""
    dark = np.zeros(raster.shape, dtype=np.float32)
    for path in paths:
        away = -vector(*LIGHT) * (0.25 * thread.width_mm + path.lift_mm)
        points = ((path.points + away) * raster.pixels_per_mm * 16).round().astype(np.int32)
        thick = max(1, round(thread.width_mm * path.width * raster.pixels_per_mm))
        cv2.polylines(dark, [points.reshape(-1, 1, 2)], isClosed=False, color=1.0, thickness=thick, shift=4)
    return np.float32(0.3) * raster.blur(dark, 0.25)


@dataclass(frozen=True)
class Ribbon:
    """Samples of paths: their points, brightness, and the area that each represents."""

    points: Array
    """(n, 2) in mm."""
    light: Array
    """(n,), about 1."""
    cover: Array
    """(n,) in pixels of the raster."""


def _ribbon(thread: Thread, paths: Sequence[ThreadPath], raster: Raster) -> Ribbon:
    """Return samples of `paths`, dense enough to leave no hole in an image of `raster`."""
    spacing = 0.5 / raster.pixels_per_mm
    parts = [_path_samples(thread, path, spacing, raster) for path in paths]
    return Ribbon(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _path_samples(thread: Thread, path: ThreadPath, spacing: float, raster: Raster) -> tuple[Array, Array, Array]:
    spine, along = _resample(path.points, spacing)
    heading = np.gradient(spine, axis=0)
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
    normal = np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    dip = _dip(along, path.dips, thread.width_mm)
    half_width = 0.5 * thread.width_mm * path.width * (0.55 + 0.45 * dip)
    across_count = max(3, int(np.ceil(thread.width_mm * path.width / spacing)))
    across = vector(*((np.arange(across_count) + 0.5) * 2 / across_count - 1))
    points = spine[:, None, :] + normal[:, None, :] * (half_width[:, None] * across[None, :])[..., None]
    step = along[-1] / max(1, len(along) - 1)
    cover = np.repeat(step * 2 * half_width / across_count, across_count) * raster.pixels_per_mm**2
    light = path.tone * _light(thread, along, across, normal) * (0.58 + 0.42 * dip[:, None])
    return points.reshape(-1, 2).astype(np.float32), light.reshape(-1).astype(np.float32), cover.astype(np.float32)


def _resample(points: Array, spacing: float) -> tuple[Array, Array]:
    """Return a path at even distances: points (m, 2) and their distance along it (m,), both in mm."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    along = np.linspace(0, way[-1], max(3, int(way[-1] / spacing) + 1))
    spine = np.stack([np.interp(along, way, points[:, axis]) for axis in (0, 1)], axis=1)
    return spine.astype(np.float32), along.astype(np.float32)


def _dip(along: Array, dips: tuple[bool, bool], width_mm: float) -> Array:
    """Return 1 where the thread lies on top, falling to 0 at an end that goes down through a hole; shape (m,)."""
    depth = np.ones_like(along)
    reach = np.float32(0.9 * width_mm)
    if dips[0]:
        depth = np.minimum(depth, along / reach)
    if dips[1]:
        depth = np.minimum(depth, (along[-1] - along) / reach)
    return np.sqrt(np.clip(depth, 0, 1))


def _light(thread: Thread, along: Array, across: Array, normal: Array) -> Array:
    """Return the light on a round, twisted thread at each place along and across it: (m, a), about 1."""
    ridge = np.sqrt(np.clip(1 - across**2, 0, 1))[None, :]
    side = (normal @ vector(*LIGHT))[:, None] * across[None, :]
    plies = np.sin(2 * np.pi * along[:, None] / (1.6 * thread.width_mm) + 2.2 * across[None, :])
    light = 0.68 + 0.34 * ridge + 0.22 * side + thread.gloss * 0.25 * ridge**6 + thread.twist * 0.2 * plies
    return np.asarray(light, dtype=np.float32)
