"""Read the reference images of a bundle."""

from __future__ import annotations

from shared.contracts.bundle import REFERENCES, Bundle, BundleError
from shared.imaging.references import References, ReferencesError


def references_of(bundle: Bundle) -> References | None:
    """Return the reference images that images are compared with; None if the recipe has none.

    Raises:
        BundleError: they are missing, changed, or not those of the recipe.
    """
    if bundle.recipe.image.reference is None:
        return None
    try:
        return References.read(bundle.file(REFERENCES), bundle.recipe.image)
    except ReferencesError as error:
        raise BundleError(f"model {bundle.version} can't be used: {error}") from error
