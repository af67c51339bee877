from pathlib import Path

import pytest

from services.trainer.datasets.learned_images import learned_by
from shared.contracts.bundle import Bundle
from shared.datasets.labelled_images import Example
from shared.datasets.tables import Place
from tests.models import pack, paint_bundle

TABLE = "name,good\n{}.png,True\n{}.png,False\n"


@pytest.fixture
def model() -> Bundle:
    """Trained on 0 and 1, validated on 2 and 3, tested on 4 and 5."""
    plain = paint_bundle("v1")
    numbers = {"train": (0, 1), "valid": (2, 3), "test": (4, 5)}
    parts = {f"{part}.csv": TABLE.format(*pair).encode() for part, pair in numbers.items()}
    return pack({**plain.files, **parts}, plain.recipe, "v1", "features")


def images(*numbers: int) -> list[Example]:
    return [Example(f"{n}.png", Path(f"{n}.png"), (True,), "a", Place("labels.csv", n)) for n in numbers]


def test_images_of_the_training_itself_are_known_for_sure(model: Bundle) -> None:
    known = learned_by(model, images(*range(6)), model.manifest.dataset)
    assert known
    assert (known.images, known.of, known.known_by) == (4, 6, "content")
    assert "was trained or validated on 4 of these 6 images, and these figures flatter" in str(known)


def test_of_other_images_only_the_names_are_the_same(model: Bundle) -> None:
    known = learned_by(model, images(1, 7), "sha256:other")
    assert known
    assert (known.images, known.of, known.known_by) == (1, 2, "name")
    assert "1 of these 2 images have the names of some that the model" in str(known)


def test_images_that_the_model_never_learned_from_need_no_note(model: Bundle) -> None:
    assert learned_by(model, images(4, 5, 9), "sha256:other") is None
    assert learned_by(paint_bundle("v1"), images(0), "sha256:other") is None
