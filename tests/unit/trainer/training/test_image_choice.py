"""Other images than those of the recipe are tried while there is time, and taken where they are better."""

from time import monotonic

import keras
import numpy as np
import pytest

from services.trainer.datasets.pixels import PixelStore
from services.trainer.training.image_choice import Attempt, choose_image
from services.trainer.training.out_of_fold import OutOfFold
from services.trainer.training.time_limit import TimeLimit
from services.trainer.training.trained import Trained
from services.trainer.training.tried import Tried, image_in_words
from shared.recipe import ImageSpec, Task
from tests.unit.trainer.training.test_last_layer import Silent

ROWS = np.arange(100)
TRUTH = np.asarray(ROWS[:, np.newaxis] % 2, np.float32)
GROUPS = [str(row) for row in ROWS]
ENOUGH = TimeLimit(monotonic() + 1e6)


def attempt_of(image: ImageSpec, certainty: float, seconds: float = 1.0) -> Attempt:
    """Return a network that is right with some certainty, but for each tenth image."""
    noise = np.where(ROWS % 10 == 0, -1.0, 1.0)[:, np.newaxis]
    out_of_fold = OutOfFold(ROWS, np.asarray(certainty * noise * (2 * TRUTH - 1), np.float32), learning_curve=None)
    row = Tried(head="linear", image=image_in_words(image), log_loss=0.1, seconds=seconds, chosen=True)
    trained = Trained(keras.Sequential(), None, 0, [], [], out_of_fold, tried=(row,))
    store = PixelStore(np.zeros((len(ROWS), 1, 1, 3), np.uint8), TRUTH, image, "sha256:0")
    return Attempt(image, store, trained, out_of_fold)


def chosen(
    certainty: dict[tuple[int, str], float], *, side: int = 224, original: int = 300, limit: TimeLimit = ENOUGH
) -> tuple[Attempt, list[tuple[int, int, str]]]:
    """Return the chosen network, and what was tried; each image is right with its certainty, or else with 1."""
    seen: list[tuple[int, int, str]] = []

    def attempt(image: ImageSpec) -> Attempt:
        seen.append((image.height, image.width, image.normalisation))
        return attempt_of(image, certainty.get((image.height, image.normalisation), 1.0))

    first = attempt_of(ImageSpec(height=side, width=2 * side), 1.0)
    best = choose_image(
        first, attempt, original_side=original, groups=GROUPS, task=Task.MULTI_LABEL, limit=limit, listener=Silent()
    )
    return best, seen


def test_larger_images_and_another_normalisation_are_tried_and_the_first_holds_where_none_is_better() -> None:
    best, seen = chosen({})
    assert seen == [(448, 896, "image"), (320, 640, "image"), (224, 448, "imagenet")]
    assert (best.image.height, best.image.normalisation) == (224, "image")
    assert [each.chosen for each in best.trained.tried] == [True, False, False, False]


def test_better_images_are_taken_and_the_normalisation_is_tried_with_them() -> None:
    best, seen = chosen({(448, "image"): 1.3, (448, "imagenet"): 1.6})
    assert seen[-1] == (448, 896, "imagenet")
    assert (best.image.height, best.image.width, best.image.normalisation) == (448, 896, "imagenet")
    assert [each.image for each in best.trained.tried if each.chosen] == [image_in_words(best.image)]


@pytest.mark.parametrize(
    ("side", "original", "sides"),
    [(224, 128, []), (320, 320, [448, 224]), (300, 300, [448, 224]), (512, 700, [320, 224])],
)
def test_images_are_enlarged_to_twice_their_size_at_most(side: int, original: int, sides: list[int]) -> None:
    _, seen = chosen({}, side=side, original=original)
    assert [height for height, _, normalisation in seen if normalisation == "image"] == sides


def test_what_would_take_too_long_is_named_and_not_tried() -> None:
    best, seen = chosen({(448, "image"): 2.0}, limit=TimeLimit(monotonic() - 1))
    assert seen == []
    assert best.image.height == 224
    assert all("the time is over" in each.remark for each in best.trained.tried[1:])
