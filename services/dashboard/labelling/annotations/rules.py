"""What the recipe says about labels that go together."""

from __future__ import annotations

from collections.abc import Mapping

from shared.recipe import Recipe, Role, Task


def complaint(recipe: Recipe, labels: Mapping[str, bool]) -> str:
    """Why an image can't have these labels, in one line; empty when it can.

    Args:
        recipe: with the labels of the product.
        labels: true or false for each of them.
    """
    missing = [name for name in recipe.label_names if name not in labels]
    unknown = [name for name in labels if name not in recipe.label_names]
    if unknown or missing:
        known = ", ".join(recipe.label_names)
        return f"say true or false of each label of recipe {recipe.name!r}, and of no other: {known}"
    true = [label for label in recipe.labels if labels[label.name]]
    if recipe.task is Task.EXCLUSIVE and len(true) != 1:
        named = " and ".join(label.name for label in true) or "no label"
        return f"{named}: this recipe wants exactly one label"
    good = [label.name for label in true if label.role is Role.QUALITY]
    faults = [label.name for label in true if label.role is Role.DEFECT]
    if good and faults:
        return f"{' and '.join(good)} together with {' and '.join(faults)}: a part is good or has a fault"
    return ""
