from __future__ import annotations

from datetime import date

import pytest

from shared.contracts.retention import FrameFile, Kind, RetentionRules, Rule

FRAME = "frames/line-1/2026-01-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001"


def test_without_rules_everything_stays_for_ever() -> None:
    for text in ("", "none"):
        rules = RetentionRules.parse(text)
        assert {str(rules.of(kind)) for kind in Kind} == {"for ever"}


def test_a_rule_limits_the_age_or_the_size_or_both() -> None:
    rules = RetentionRules.parse("ok=7d, ng=365d/200GB,unsure=500MB , archive=400d")
    assert rules.of(Kind.OK) == Rule(7, None)
    assert rules.of(Kind.NG) == Rule(365, 200 * 10**9)
    assert rules.of(Kind.UNSURE) == Rule(None, 500 * 10**6)
    assert str(rules.of(Kind.NG)) == "365 days or 200 GB"
    assert str(rules.of(Kind.UNSURE)) == "500 MB"
    assert rules.of(Kind.HEATMAPS) == Rule()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("okay=7d", "a kind is one of ok, ng, unsure"),
        ("ok", "a limit is an age in days such as 30d"),
        ("ok=7", "a limit is an age in days such as 30d"),
        ("ok=0d", "a limit is an age"),
        ("ok=7d/8d", "a limit is an age"),
        ("ok=7d,ok=8d", "ok: it has two rules"),
        ("ok=99999d", "at most 36500 days"),
        ("labelled=7d", "labelled: data of this kind is never removed"),
        ("datasets=7d", "datasets: data of this kind is never removed"),
        ("archive=10GB", "archive takes an age alone"),
    ],
)
def test_a_wrong_rule_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RetentionRules.parse(text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image.ok.jpg", Kind.OK),
        ("image.ng.png", Kind.NG),
        ("image.unsure.jpg", Kind.UNSURE),
        ("captured.jpg", Kind.CAPTURED),
        ("heatmap.break.png", Kind.HEATMAPS),
        ("overlay.jpg", Kind.HEATMAPS),
    ],
)
def test_the_kind_of_a_file_follows_from_its_key(name: str, kind: Kind) -> None:
    file = FrameFile.of(f"{FRAME}/{name}")
    assert file == FrameFile("line-1", date(2026, 1, 31), "01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001", kind)


@pytest.mark.parametrize(
    "key",
    [
        f"{FRAME}/image.jpg",
        f"{FRAME}/notes.txt",
        FRAME,
        f"{FRAME}/a/image.ok.jpg",
        "frames/line-1/2026-13-31/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000001/image.ok.jpg",
        "models/seam/v-1/manifest.json",
    ],
)
def test_other_objects_are_no_files_that_a_rule_removes(key: str) -> None:
    assert FrameFile.of(key) is None
