"""Turn a drawn image into a photograph of an unknown camera: its light, lens, sensor, processing and compression.

No single effect hides a stitch: a person can still judge every image.
"""

import cv2
import numpy as np

from samples.choices import chance, side
from samples.raster import Array, Image, Raster

DARKEST_MEAN, BRIGHTEST_MEAN = 45.0, 200.0
"""The mean brightness that the exposure of the camera leaves in an image, 0..255."""
BRIGHTEST = 250.0
"""What the exposure leaves nine tenths of the colours below: burnt-out cloth would hide its stitches."""


def photograph(image: Image, rng: np.random.Generator) -> Image:
    """Return an image, uint8 BGR (size, size, 3), as another camera would have taken it."""
    seen = _blurred(image, rng)
    lit = seen.astype(np.float32) * _lamps(image.shape[0], rng)
    lit = _developed(lit, rng)
    noisy = lit + _noise(lit, rng) if chance(rng, 0.6) else lit
    return _compressed(np.clip(noisy, 0, 255).astype(np.uint8), rng)


def _blurred(image: Image, rng: np.random.Generator) -> Image:
    """Return the image out of focus, smeared by a motion, or enlarged from fewer pixels; often none of these."""
    scale = image.shape[0] / 224
    if chance(rng, 0.35):
        image = _image(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1) * scale))
    if chance(rng, 0.15):
        image = _image(cv2.filter2D(image, -1, _motion(rng.uniform(1.5, 4.0) * scale, rng.uniform(0, np.pi))))
    if chance(rng, 0.35):
        small = round(image.shape[0] * rng.uniform(0.5, 0.95))
        shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        way = cv2.INTER_CUBIC if chance(rng, 0.5) else cv2.INTER_LINEAR
        image = _image(cv2.resize(shrunk, image.shape[:2][::-1], interpolation=way))
    return image


def _motion(length: float, heading: float) -> Array:
    """Return the kernel of a motion of some pixels."""
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    reach = np.array([np.cos(heading), np.sin(heading)]) * length / 2
    first, last = (((half + way * reach) * 16).round().astype(int) for way in (-1, 1))
    cv2.line(kernel, (int(first[0]), int(first[1])), (int(last[0]), int(last[1])), 1.0, 1, cv2.LINE_AA, 4)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def _lamps(size: int, rng: np.random.Generator) -> Array:
    """Return the light of one to three lamps with their shadows, about 1, (size, size, 3).

    It changes slowly, so it is drawn small.
    """
    raster = Raster(1.0, 1.0, 32)
    x, y = raster.grid()
    light = np.zeros((*raster.shape, 3), dtype=np.float32)
    for _ in range(int(rng.integers(1, 4))):
        heading = rng.uniform(-np.pi, np.pi)
        slope = rng.exponential(0.2) * ((x - 0.5) * np.cos(heading) + (y - 0.5) * np.sin(heading))
        at_x, at_y = rng.uniform(-0.2, 1.2, 2)
        near = rng.exponential(0.25) * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / rng.uniform(0.05, 0.6))
        light += (1 + slope + near)[..., None] * (1 + rng.normal(0, 0.03, 3))
    if chance(rng, 0.35):
        light *= _cast_shadow(x, y, rng)[..., None]
    light /= light.mean(axis=(0, 1)).mean()
    whole = cv2.resize(np.clip(light, 0.55, 1.6).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(whole, dtype=np.float32)


def _cast_shadow(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Return the light beside the soft edge of a shadow, or of a band of it, 0.6..1, of the shape of a grid."""
    heading, soft = rng.uniform(-np.pi, np.pi), rng.uniform(0.15, 0.45)
    far = (x - 0.5) * np.cos(heading) + (y - 0.5) * np.sin(heading) + rng.uniform(-0.4, 0.4)
    if chance(rng, 0.4):
        far = rng.uniform(0.05, 0.2) - np.abs(far)
    return np.asarray(1 - rng.uniform(0.06, 0.35) / (1 + np.exp(-far / soft * 4)), dtype=np.float32)


def _developed(lit: Array, rng: np.random.Generator) -> Array:
    """Return the image at another colour temperature, saturation, contrast and exposure."""
    warmth, tint = rng.normal(0, 0.05), rng.normal(0, 0.025)
    image = lit * np.array([1 - warmth, 1 + tint, 1 + warmth], dtype=np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * np.float32(np.clip(rng.normal(1, 0.2), 0.5, 1.5))
    mean = float(grey.mean())
    exposed = np.clip(mean * np.exp(rng.normal(0, 0.2)), min(DARKEST_MEAN, mean), max(BRIGHTEST_MEAN, mean))
    contrast = np.clip(rng.normal(1, 0.12), 0.75, 1.3)
    image = np.float32(exposed) + (image - np.float32(mean)) * np.float32(contrast * exposed / max(mean, 1.0))
    bright = float(np.percentile(image[::4, ::4].max(axis=2), 90))
    image = image * np.float32(min(1.0, BRIGHTEST / max(bright, 1.0)))
    if chance(rng, 0.25):  # sharpened by the camera
        soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.5))
        image = image + np.float32(rng.uniform(0.3, 1.0)) * (image - soft)
    return np.asarray(image, dtype=np.float32)


def _noise(lit: Array, rng: np.random.Generator) -> Array:
    """Return noise of a sensor, of the shape of the image: of grey and colour, fine or smoothed to coarse grains."""
    raw = rng.standard_normal((*lit.shape[:2], 1), dtype=np.float32)
    raw = raw + np.float32(rng.uniform(0, 0.7)) * rng.standard_normal(lit.shape, dtype=np.float32)
    if chance(rng, 0.5):
        raw = np.asarray(cv2.GaussianBlur(raw, (0, 0), rng.uniform(0.5, 1.0)), dtype=np.float32) * np.float32(1.8)
    return raw * np.float32(min(rng.exponential(2.0), 7.0))


def _compressed(image: Image, rng: np.random.Generator) -> Image:
    """Return the image as a JPEG of quality 30 to 95 keeps it; one in ten is not compressed."""
    if chance(rng, 0.1):
        return image
    quality = int(rng.integers(30, 96))
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return _image(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def tilt(rng: np.random.Generator) -> float:
    """Return the rotation in radians of a camera that a person mounted: mostly 3 degrees, 8 at most."""
    return side(rng) * min(abs(float(rng.normal(0, 0.05))), 0.14)


def _image(array: object) -> Image:
    return np.asarray(array, dtype=np.uint8)
