"""Cohen's kappa, compared with published and simulated values."""

from __future__ import annotations

import numpy as np
import pytest

from services.dashboard.labelling.annotations.agreement import kappa_by_label, kappa_of
from services.dashboard.labelling.annotations.annotation import FrameAnnotations
from tests.labelling import annotation, labels


def pairs(both: int, only_first: int, only_second: int, neither: int) -> list[tuple[bool, bool]]:
    return (
        [(True, True)] * both
        + [(True, False)] * only_first
        + [(False, True)] * only_second
        + [(False, False)] * neither
    )


def test_the_textbook_example_has_a_kappa_of_two_fifths() -> None:
    kappa = kappa_of(pairs(20, 5, 10, 15))
    assert kappa.kappa == pytest.approx(0.4)
    assert (kappa.frames, kappa.agreed) == (50, 0.7)


def test_the_interval_is_as_wide_as_the_scatter_of_kappa_over_samples() -> None:
    cells = np.array([40, 10, 14, 136])
    kappa = kappa_of(pairs(*cells.tolist()))
    assert kappa.low is not None
    assert kappa.high is not None
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(cells.sum(), cells / cells.sum(), size=1500)
    scatter = [value for sample in drawn if (value := kappa_of(pairs(*sample.tolist())).kappa) is not None]
    assert (kappa.high - kappa.low) / (2 * 1.96) == pytest.approx(np.std(scatter), rel=0.08)


def test_constant_agreement_has_a_kappa_of_one() -> None:
    kappa = kappa_of(pairs(7, 0, 0, 13))
    assert (kappa.kappa, kappa.low, kappa.high) == (1.0, 1.0, 1.0)


def test_a_label_that_no_person_gave_has_no_kappa() -> None:
    assert kappa_of(pairs(0, 0, 0, 30)).kappa is None
    assert kappa_of([]).kappa is None


def test_a_constant_annotator_makes_kappa_0_without_an_interval() -> None:
    for often, seldom in ((38, 2), (3, 2), (0, 7), (37, 12), (1, 5)):
        for cells in ((often, seldom, 0, 0), (0, seldom, 0, often), (often, 0, seldom, 0), (0, 0, seldom, often)):
            kappa = kappa_of(pairs(*cells))
            assert (kappa.kappa, kappa.low, kappa.high) == (0.0, None, None)


def test_only_frames_that_two_people_annotated_are_counted() -> None:
    contradicted = (
        FrameAnnotations()
        .with_annotation(annotation("1"))
        .with_annotation(annotation("1", by="bob", kind="second", labels=labels("break")))
    )
    alone = FrameAnnotations().with_annotation(annotation("2"))
    twice = FrameAnnotations().with_annotation(annotation("3")).with_annotation(annotation("3", kind="second"))
    found = kappa_by_label([contradicted, alone, twice], ["good", "break"])
    assert (found["good"].frames, found["good"].only_first) == (1, 1)
    assert found["break"].only_second == 1
