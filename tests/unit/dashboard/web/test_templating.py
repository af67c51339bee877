"""Templates lie beside the features that they belong to."""

from __future__ import annotations

from collections import Counter

from services.dashboard.web.templating import FOLDERS, templates


def test_no_two_templates_have_the_same_name() -> None:
    names = Counter(file.name for folder in FOLDERS for file in folder.iterdir())
    assert [name for name, times in names.items() if times > 1] == []


def test_a_template_of_each_feature_is_found() -> None:
    for folder in FOLDERS:
        file = min(folder.glob("*.html"))
        assert templates.get_template(file.name).filename == str(file)
