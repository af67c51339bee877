"""What an inspector needs in tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.inference.model import Model
from services.inference.production import NoModel


@dataclass
class OneModel:
    """The only model, which no promotion replaces."""

    model: Model
    retired: list[Model] = field(default_factory=list)

    def of(self, recipe: str | None) -> Model | NoModel:
        return self.model if recipe in (None, self.model.recipe.name) else NoModel("no other model", temporary=False)

    def take_retired(self) -> list[Model]:
        retired, self.retired = self.retired, []
        return retired
