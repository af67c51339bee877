"""What more images would bring is estimated from parts of the images, in whole groups."""

import numpy as np
import pytest

from services.trainer.evaluation.figures import LearningCurve
from services.trainer.training import last_layer
from services.trainer.training.last_layer import fit_by_folds
from services.trainer.training.learning_curve import learning_curve
from shared.recipe import Task


def curve_of(
    noise: float, monkeypatch: pytest.MonkeyPatch, positives: int = 100, count: int = 120
) -> LearningCurve | None:
    monkeypatch.setattr(last_layer, "REGULARISATIONS", (0.01,))
    rng = np.random.default_rng(0)
    truth = np.zeros((240, 2), np.float32)
    truth[rng.permutation(240)[:positives], 0] = 1
    truth[:100, 1] = 1
    features = rng.normal(0, noise, (240, 60)).astype(np.float32)
    features[:, :2] += truth
    members = np.arange(240) // 2 % count
    folds, groups = members % 5, [str(member) for member in members]
    fitted = fit_by_folds(features[np.newaxis], truth, folds, Task.MULTI_LABEL)
    return learning_curve(("scratch", "dent"), truth, folds, groups, fitted=fitted, task=Task.MULTI_LABEL)


def test_hard_labels_gain_by_more_images_and_easy_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    hard, easy = curve_of(1.0, monkeypatch), curve_of(0.05, monkeypatch)
    assert hard
    assert easy
    assert hard.images == pytest.approx((48, 96, 192), abs=6)
    for curve in hard.labels.values():
        assert curve.average_precision[0] < curve.average_precision[-1] < curve.at_twice < 1
    assert hard.at_twice - hard.now > 0.02 > easy.at_twice - easy.now
    assert "with twice as many images, the mean average precision would be about" in hard.in_words()


def test_a_label_with_a_handful_of_images_has_no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    curve = curve_of(1.0, monkeypatch, positives=3)
    assert curve
    assert list(curve.labels) == ["dent"]


@pytest.mark.parametrize(("groups", "images"), [(3, (80, 80, 160)), (4, (60, 120, 180)), (5, (48, 96, 192))])
def test_each_fold_learns_from_a_part_of_the_groups_of_the_others_however_few_there_are(
    groups: int, images: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = curve_of(1.0, monkeypatch, count=groups)
    assert curve
    assert curve.images == images
    assert all(0 < precision < 1 for label in curve.labels.values() for precision in label.average_precision)


def test_two_groups_have_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert curve_of(1.0, monkeypatch, count=2) is None
