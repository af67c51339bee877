"""Each image gets the reference that it looks most like, or none is said to fit."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from shared.imaging.codec import encode
from shared.imaging.preprocessing import normalise, pixels_of, prepare, resize
from shared.imaging.references import NotAligned, References, ReferencesError, matches
from shared.recipe import ImageSpec, ReferenceSpec
from tests.boards import board, boards_recipe, moved, part

SPEC = boards_recipe().image
GREY = SPEC.model_copy(update={"colour": "grey"})


def _references(spec: ImageSpec = SPEC) -> References:
    return References.of({f"golden/{product}.png": resize(board(product), spec) for product in (0, 1)}, spec)


@pytest.mark.parametrize("spec", [SPEC, GREY])
def test_an_image_is_put_beside_the_reference_of_its_product(spec: ImageSpec) -> None:
    references = _references(spec)
    for product in (0, 1):
        pixels = resize(part(product, 3, hole=False), spec)
        assert references.name_for(pixels) == f"golden/{product}.png"
        beside = references.beside(pixels)
        assert beside.shape == spec.shape
        image, reference = np.split(beside.astype(float), 2, axis=2)
        assert np.array_equal(image, pixels)
        assert np.corrcoef(image.ravel(), reference.ravel())[0, 1] > 0.95


def test_a_hole_is_where_image_and_reference_differ() -> None:
    references = _references()
    good, faulty = (
        np.abs(np.subtract(*np.split(prepare(part(0, 5, hole=hole), SPEC, references), 2, axis=2))).max(axis=2)
        for hole in (False, True)
    )
    assert np.sort(faulty.ravel())[-9:].mean() > 1.5 * np.sort(good.ravel())[-9:].mean()


def test_image_and_reference_are_each_normalised_by_themselves() -> None:
    prepared = prepare(part(0, 1, hole=False), SPEC, _references())
    for half in np.split(prepared, 2, axis=2):
        assert half.mean() == pytest.approx(0, abs=1e-4)
        assert half.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("spec", [SPEC, GREY])
def test_references_in_a_file_are_the_same_to_the_last_bit(spec: ImageSpec) -> None:
    references = _references(spec)
    again = References.read(references.as_file(), spec)
    assert again.names == references.names
    assert again.as_file() == references.as_file()
    image = part(1, 8, hole=True)
    assert np.array_equal(pixels_of(image, spec, again), pixels_of(image, spec, references))


def test_an_image_that_no_reference_fits_is_refused_and_the_error_says_how_far_it_is() -> None:
    references = _references()
    with pytest.raises(NotAligned, match=r"correlation is 0\.\d\d, and 0\.8 is needed"):
        references.beside(resize(board(7), SPEC))
    with pytest.raises(NotAligned, match=r"correlation is 0\.00"):
        references.beside(np.full((64, 64, 3), 128, np.uint8))


def test_a_part_that_lies_too_far_away_is_refused() -> None:
    lenient = ReferenceSpec(images=("golden/*",), motion="shift", least_likeness=0.3)
    references = _references(SPEC.model_copy(update={"reference": lenient}))
    with pytest.raises(NotAligned, match=r"covers \d\d% of it, and 75% are needed"):
        references.beside(resize(moved(board(0), 22, 0), SPEC))


def _archive(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, file in files.items():
            archive.writestr(name, file)
    return content.getvalue()


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "0 reference images"),
        ({"a.png": b"text"}, "a.png is no reference image: neither a JPEG nor a PNG"),
        ({"a.png": encode(board(0)[:32], "png")}, "a.png: a reference image of 64 x 32"),
        ({"a.png": encode(np.full((64, 64, 3), 9, np.uint8), "png")}, "one brightness"),
    ],
    ids=["none", "text", "another size", "nothing to see"],
)
def test_an_archive_without_usable_references_is_refused(files: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(ReferencesError, match=complaint):
        References.read(_archive(files), SPEC)


def test_a_compressed_archive_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", encode(board(0), "png"))
    with pytest.raises(ReferencesError, match="not compressed"):
        References.read(content.getvalue(), SPEC)


def test_a_file_that_is_no_archive_is_refused() -> None:
    with pytest.raises(ReferencesError, match="no archive of reference images"):
        References.read(b"PK", SPEC)


def test_a_network_with_a_reference_never_gets_an_image_without() -> None:
    with pytest.raises(ValueError, match="references belong to a recipe with"):
        prepare(board(0), SPEC)
    with pytest.raises(ValueError, match="references belong to a recipe with"):
        prepare(board(0), SPEC.alone, _references())
    assert normalise(resize(board(0), SPEC.alone), SPEC.alone).shape == SPEC.alone.shape


@pytest.mark.parametrize(
    ("pattern", "name", "does"),
    [
        ("golden.png", "golden.png", True),
        ("golden.png", "a/golden.png", False),
        ("golden/*", "golden/a/b.png", True),
        ("*_ref.png", "a[1]_ref.png", True),
        ("a[1].png", "a1.png", False),
        (r".\images\Golden\*.PNG", "golden/a.png", True),
        ("gut_u\u0308ber.png", "gut_\u00fcber.png", True),
        ("gut_\u00fcber.png", "gut_u\u0308ber.png", True),
    ],
)
def test_a_star_stands_for_any_characters_and_nothing_else_is_special(pattern: str, name: str, does: bool) -> None:
    assert matches(name, ReferenceSpec(images=(pattern,))) is does
