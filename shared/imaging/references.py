"""Put the reference image (golden sample) that an image is compared with beside it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Final
from unicodedata import normalize

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.imaging.alignment import align, warp
from shared.imaging.codec import UnreadableImage, decode, encode

if TYPE_CHECKING:
    from shared.recipe import ImageSpec, ReferenceSpec

MOST: Final = 2000
"""Reference images of a product."""
LARGEST: Final = 256 * 1024**2
"""Bytes of all of them, as PNG."""
CACHED: Final = 32
"""Decoded references in memory."""
THUMBNAIL: Final = 32
"""Side in pixels of the small images by which the reference of an image is found."""
LEAST_COVERED: Final = 0.75
"""Share of an image that its reference must cover."""
DATE: Final = (2000, 1, 1, 0, 0, 0)
"""The time of all files in the archive, so that equal references make equal archives."""

Pixels = NDArray[np.uint8]
"""(height, width, channels), as `shared.imaging.preprocessing.resize` gives them."""


class ReferencesError(ValueError):
    """References that can't be used; the message says why."""


class NotAligned(ValueError):
    """An image that no reference can be aligned with; the message says how far it is from that."""


class References:
    """The reference images of a product. Several threads may use them."""

    def __init__(self, files: Mapping[str, bytes], spec: ImageSpec) -> None:
        """Decode every reference once.

        Args:
            files: the references as PNG, by name, in the size of the network's input.
            spec: the recipe's image.

        Raises:
            ReferencesError: there are none, too many, or one is no image of this size, or of one brightness.
        """
        if spec.reference is None or not 0 < len(files) <= MOST:
            raise ReferencesError(f"{len(files)} reference images: a recipe with `image.reference` has 1 to {MOST:,}")
        if sum(map(len, files.values())) > LARGEST:
            raise ReferencesError(f"the reference images have more than {LARGEST:,} bytes as PNG: give fewer")
        self._spec, self._reference = spec, spec.reference
        self._files = dict(files)
        self._names = tuple(files)
        self._pixels = lru_cache(maxsize=CACHED)(self._decode)
        self._thumbnails = np.stack([thumbnail(_grey(self._decode(name))) for name in self._names])
        for name, small in zip(self._names, self._thumbnails, strict=True):
            if not small.any():
                raise ReferencesError(f"{name}: a reference image of one brightness shows nothing to align with")

    @classmethod
    def of(cls, images: Mapping[str, Pixels], spec: ImageSpec) -> References:
        """Make references of resized images, by name."""
        return cls({name: encode(_swapped(pixels), "png") for name, pixels in images.items()}, spec)

    @classmethod
    def read(cls, content: bytes, spec: ImageSpec) -> References:
        """Read the file that `as_file` gives.

        Raises:
            ReferencesError: it is no such file, or the references are not of this recipe.
        """
        try:
            with zipfile.ZipFile(BytesIO(content)) as archive:
                entries = archive.infolist()
                if len(entries) > MOST or sum(entry.file_size for entry in entries) > LARGEST:
                    raise ReferencesError(f"more than {MOST:,} reference images, or {LARGEST:,} bytes of them")
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                    raise ReferencesError("an archive of reference images is not compressed, and this one is")
                files = {entry.filename: archive.read(entry) for entry in entries}
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
            raise ReferencesError(f"no archive of reference images: {error}") from error
        return cls(files, spec)

    def as_file(self) -> bytes:
        """Return the references as one file: a zip of PNGs."""
        content = BytesIO()
        with zipfile.ZipFile(content, "w") as archive:  # not compressed: PNGs are
            for name, png in self._files.items():
                archive.writestr(zipfile.ZipInfo(name, DATE), png)
        return content.getvalue()

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    def name_for(self, pixels: Pixels) -> str:
        """Return the name of the reference that looks most like an image."""
        return self._names[int((self._thumbnails @ thumbnail(_grey(pixels))).argmax())]

    def beside(self, pixels: Pixels) -> Pixels:
        """Return an image and, behind its channels, those of its reference, which is aligned with it.

        Raises:
            NotAligned: they are less alike than the recipe asks for, or the reference covers too little.
        """
        name = self.name_for(pixels)
        reference = self._pixels(name)
        found = align(_grey(pixels), _grey(reference), self._reference.motion)
        least = self._reference.least_likeness
        if found.likeness < least:
            raise NotAligned(
                f"it does not look like the reference image {name}: their correlation is {found.likeness:.2f}, and "
                f"{least:g} is needed (least_likeness of the recipe's reference)"
            )
        if found.covered < LEAST_COVERED:
            raise NotAligned(
                f"the reference image {name} covers {found.covered:.0%} of it, and {LEAST_COVERED:.0%} are needed: "
                "it lies too far away"
            )
        return np.concatenate([pixels, warp(reference, found.matrix, pixels)], axis=2)

    def _decode(self, name: str) -> Pixels:
        try:
            image = decode(self._files[name])
        except UnreadableImage as error:
            raise ReferencesError(f"{name} is no reference image: {error}") from error
        if image.shape[:2] != (self._spec.height, self._spec.width):
            raise ReferencesError(
                f"{name}: a reference image of {image.shape[1]} x {image.shape[0]}, and the network's images are "
                f"{self._spec.width} x {self._spec.height}"
            )
        return _swapped(image) if self._spec.channels == 3 else image[..., :1]


def matches(name: str, reference: ReferenceSpec) -> bool:
    """Return whether a recipe takes a labelled image of this name for a reference."""
    return any(pattern.fullmatch(normalize("NFC", name)) for pattern in reference.patterns)


def thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a small image as a vector of mean 0 and length 1, whose product with another is their correlation."""
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return np.asarray(small / length if length > 0 else small, np.float32)


def _grey(pixels: Pixels) -> NDArray[np.uint8]:
    """Return (height, width)."""
    return np.asarray(pixels[..., 0] if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def _swapped(pixels: Pixels) -> Pixels:
    """Change red green blue to blue green red, or back."""
    return np.ascontiguousarray(pixels[..., ::-1]) if pixels.shape[2] == 3 else pixels
