"""Show the recipes of lines, and request changes from the gateway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ulid import ULID

from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.line_recipes.repository import LineRecipeRepository
from services.dashboard.line_recipes.schemas import LineRecipe, RecipeChangeStarted
from services.dashboard.lines.service import LinesService
from services.dashboard.web.problems import Problem
from shared.contracts.bundle import BundleError
from shared.contracts.promotion import production_version
from shared.language import gettext
from shared.messages import RecipeChangeRequested
from shared.storage.port import ObjectStore


class LineRecipesService:
    """Answers about the recipes of lines."""

    def __init__(
        self,
        lines: LinesService,
        announced: LineRecipeRepository,
        store: ObjectStore,
        commands: CommandPublisher,
        *,
        silence: timedelta,
    ) -> None:
        """``silence`` is the time without an announcement after which the gateway counts as lost."""
        self._lines = lines
        self._announced = announced
        self._store = store
        self._commands = commands
        self._silence = silence

    def get(self, line: str) -> LineRecipe:
        """Return the recipe of a line, as it was announced last.

        Raises:
            Problem: 404: there is no such line.
        """
        cameras = {each.camera: each.recipe for each in self._lines.state(line).cameras}
        found = self._announced.of_line(line)
        announced = found.message if found else None
        return LineRecipe(
            line=line,
            recipe=announced.recipe if announced else None,
            change=announced.change if announced else None,
            recipes=list(announced.recipes) if announced else [],
            cameras=cameras,
            answered=announced.answered if announced else None,
            refusal=announced.refusal if announced else "",
        )

    def check_can_change(self, line: str) -> None:
        """Check that a gateway can change the recipe of a line.

        Raises:
            Problem: 404: there is no such line; 409: no gateway works.
        """
        self._lines.check(line)
        found = self._announced.of_line(line)
        if found is None:
            raise Problem(
                409,
                gettext(
                    "no gateway has announced the recipe of %(line)s: start a gateway, and a camera of the line",
                    line=line,
                ),
            )
        if datetime.now(UTC) - found.at > self._silence:
            raise Problem(409, gettext("the gateway has announced no recipe for too long: a change needs it"))

    def change(self, line: str, recipe: str, by: str) -> RecipeChangeStarted:
        """Request that the next parts of a line are inspected by another recipe.

        Raises:
            Problem: 404: there is no such line; 409: no gateway works, or no model of the recipe is in production; 503:
                the broker is unavailable.
        """
        self.check_can_change(line)
        try:
            version = production_version(self._store, recipe)
        except BundleError as error:
            raise Problem(409, str(error)) from error
        if version is None:
            raise Problem(
                409,
                gettext(
                    "no model of recipe %(recipe)s is in production: promote one, or choose another recipe",
                    recipe=recipe,
                ),
            )
        request = RecipeChangeRequested(change_id=str(ULID()), line=line, recipe=recipe, by=by, at=datetime.now(UTC))
        self._commands.publish(request, applied=False)
        return RecipeChangeStarted(change_id=request.change_id)
