"""Check which labels a recipe allows together."""

from __future__ import annotations

from collections.abc import Mapping

from shared.language import gettext
from shared.recipe import LabelRole, Recipe, Task


def label_error(recipe: Recipe, labels: Mapping[str, bool]) -> str:
    """Return in one line why an image can't have these labels; empty if it can.

    Args:
        recipe: the recipe of the product.
        labels: the values of its labels, by name.
    """
    missing = [name for name in recipe.label_names if name not in labels]
    unknown = [name for name in labels if name not in recipe.label_names]
    if unknown or missing:
        known = ", ".join(recipe.label_names)
        return gettext(
            "give true or false for each label of recipe %(recipe)r, and for no other label: %(known)s",
            recipe=recipe.name,
            known=known,
        )
    true = [label for label in recipe.labels if labels[label.name]]
    if recipe.task is Task.EXCLUSIVE and len(true) != 1:
        named = ", ".join(label.name for label in true) or gettext("no label")
        return gettext("%(labels)s: this recipe requires exactly one label", labels=named)
    qualities = [label.name for label in true if label.role is LabelRole.QUALITY]
    defects = [label.name for label in true if label.role is LabelRole.DEFECT]
    if qualities and defects:
        return gettext(
            "%(qualities)s together with %(defects)s: a part is good or has a defect",
            qualities=", ".join(qualities),
            defects=", ".join(defects),
        )
    return ""
