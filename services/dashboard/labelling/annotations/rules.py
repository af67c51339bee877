"""Which labels a recipe allows together."""

from __future__ import annotations

from collections.abc import Mapping

from shared.recipe import LabelRole, Recipe, Task


def label_error(recipe: Recipe, labels: Mapping[str, bool]) -> str:
    """Return in one line why an image can't have these labels, or an empty text if it can.

    Args:
        recipe: with the labels of the product.
        labels: true or false for each of them.
    """
    missing = [name for name in recipe.label_names if name not in labels]
    unknown = [name for name in labels if name not in recipe.label_names]
    if unknown or missing:
        known = ", ".join(recipe.label_names)
        return f"give true or false for each label of recipe {recipe.name!r}, and for no other label: {known}"
    true = [label for label in recipe.labels if labels[label.name]]
    if recipe.task is Task.EXCLUSIVE and len(true) != 1:
        named = " and ".join(label.name for label in true) or "no label"
        return f"{named}: this recipe requires exactly one label"
    qualities = [label.name for label in true if label.role is LabelRole.QUALITY]
    defects = [label.name for label in true if label.role is LabelRole.DEFECT]
    if qualities and defects:
        return f"{' and '.join(qualities)} together with {' and '.join(defects)}: a part is good or has a defect"
    return ""
