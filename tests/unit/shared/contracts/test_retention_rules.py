from __future__ import annotations

import pytest

from shared.contracts.retention_rules import DataKind, RetentionRule, RetentionRules


def test_without_rules_everything_stays_for_ever() -> None:
    for text in ("", "none"):
        rules = RetentionRules.parse(text)
        assert {str(rules.of(kind)) for kind in DataKind} == {"for ever"}


def test_a_rule_limits_the_age_or_the_size_or_both() -> None:
    rules = RetentionRules.parse("ok=7d, ng=365d/200GB,unsure=500MB , archive=400d")
    assert rules.of(DataKind.OK) == RetentionRule(7, None)
    assert rules.of(DataKind.NG) == RetentionRule(365, 200 * 10**9)
    assert rules.of(DataKind.UNSURE) == RetentionRule(None, 500 * 10**6)
    assert str(rules.of(DataKind.NG)) == "365 days or 200 GB"
    assert str(rules.of(DataKind.UNSURE)) == "500 MB"
    assert rules.of(DataKind.HEATMAPS) == RetentionRule()


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
