"""The model bundle: one immutable folder of object storage with the files of a model and their origin.

``models/<recipe>/<version>/manifest.json`` lists the other files with their SHA-256. It is written last, so that a
bundle is complete or does not exist. ``models/<recipe>/comparisons/<baseline>.<candidate>.json`` are comparisons of two
versions on the same images.

Only the trainer writes these objects.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from shared.messages import Name
from shared.recipe import ExplanationMethod, Recipe, parse_recipe
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.validation import first_problem

MANIFEST: Final = "manifest.json"
KERAS: Final = "model.keras"
OPENVINO: Final = "openvino_fp32.xml"
OPENVINO_WEIGHTS: Final = "openvino_fp32.bin"
OPENVINO_INT8: Final = "openvino_int8.xml"
OPENVINO_INT8_WEIGHTS: Final = "openvino_int8.bin"
RECIPE: Final = "recipe.yaml"
REFERENCES: Final = "references.zip"
EVALUATION: Final = "evaluation.json"
HISTORY: Final = "history.json"
SCORES: Final = "scores.json"
REPORTS: Final = {"en": "report.html", "de": "report.de.html"}
"""The report for people, by language."""
PRODUCTION: Final = "production"
COMPARISONS: Final = "comparisons"


RARE: Final = 0.05
"""Share of good images whose heatmaps are not empty."""
RAREST: Final = 0.001
"""The rarity from which on the peak of a heatmap is 255."""


class Variant(StrEnum):
    """A compiled variant of a network."""

    FP32 = "fp32"
    """Full precision; in every bundle."""
    INT8 = "int8"
    """Quantised; in a bundle only if it was proven to give the verdicts of the trained network."""


VARIANT_FILES: Final = {
    Variant.FP32: (OPENVINO, OPENVINO_WEIGHTS),
    Variant.INT8: (OPENVINO_INT8, OPENVINO_INT8_WEIGHTS),
}
"""The files of each variant: the network and its weights."""


class BundleError(ValueError):
    """A bundle that must not be used: it is incomplete, was changed, or belongs to another recipe."""


class BundleExists(BundleError):
    """The version exists with other files; a version never changes."""


def _free_name(version: str) -> str:
    if version in (PRODUCTION, COMPARISONS):
        raise ValueError(f"{version} is not a model version: this folder beside the models has another purpose")
    return version


ModelVersion = Annotated[Name, AfterValidator(_free_name)]
"""The name of a model version, and of its folder."""


def version_name(moment: datetime, request_id: str) -> str:
    """Return a name such as ``20261123-0850-3f9a2c``: names sort by time, and one request always has the same name."""
    return f"{moment.astimezone(UTC):%Y%m%d-%H%M}-{hashlib.sha256(request_id.encode()).hexdigest()[:6]}"


class ChosenBy(StrEnum):
    """What chose the method and the layer of a model's heatmaps."""

    RECIPE = "the recipe"
    MASKS = "marked defects"
    PASTED = "pasted defects"
    DEFAULT = "default"
    """There was only one choice, or nothing to choose by."""


class HeatScale(BaseModel):
    """The heat of the peak of a heatmap, by the rarity of its evidence: the share of good images that have as much.

    The evidence is the log odds of the score, or of its complement for the evidence against a label.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    images: int = Field(ge=1, description="held-out good images that the scale was fitted to")
    rare: float = Field(description="evidence of rarity 0.05: up to it, the heatmap is empty")
    rarest: float = Field(description="evidence of rarity 0.001, extrapolated: from it on, the peak is 255")


DISTANCE: Final[Literal["distance"]] = "distance"
"""The method whose map is the output of a layer of the network: how far each place is from anything good."""

DISTANCES: Final = "distances"
"""Name of the layer whose output is this map."""


class HeatmapSpec(BaseModel):
    """How the heatmaps of a model are computed and scaled."""

    model_config = ConfigDict(frozen=True)

    method: ExplanationMethod | Literal["distance"]
    layers: tuple[str, ...] = Field(
        min_length=1, description="the layers whose features heatmaps are computed from, the earliest first"
    )
    chosen_by: ChosenBy = ChosenBy.DEFAULT
    for_label: dict[str, HeatScale] = Field(
        default_factory=dict,
        description="scale of the evidence for each label; a heatmap without a scale is scaled to its own peak",
    )
    against_label: dict[str, HeatScale] = Field(
        default_factory=dict, description="scale of the evidence against each label"
    )

    @property
    def in_words(self) -> str:
        """Return method and layers, such as ``layer-cam at block4_sum, block10_sum``."""
        return f"{self.method} at {', '.join(self.layers)}"

    def scale_of(self, label: str, *, for_label: bool) -> HeatScale | None:
        """Return the scale of the heatmaps of a label in one direction; None if too few good images were held out."""
        return (self.for_label if for_label else self.against_label).get(label)


class Manifest(BaseModel):
    """The files of a bundle and their origin."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = 1
    recipe: Name
    version: ModelVersion
    architecture: str
    heatmaps: HeatmapSpec = Field(description="how heatmaps are computed and scaled")
    created_at: AwareDatetime
    dataset: str = Field(description="dataset of the training: a dataset version, or the digest of its table")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="options of the training, with the seed")
    libraries: dict[str, str] = Field(default_factory=dict, description="version of each library, by name")
    derived_from: Name | None = Field(None, description="version with the same network and other thresholds")
    author: str = Field("", description="person who chose the thresholds, if a person did")
    reason: str = Field("", description="why the person chose them")
    files: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], str] = Field(
        description="name to SHA-256, in hexadecimal"
    )


class Bundle:
    """The manifest, the recipe and the files of a model; each file is checked against its digest when it is used."""

    def __init__(self, manifest: Manifest, files: dict[str, bytes]) -> None:
        self.manifest = manifest
        self.files = files
        content = self.file(RECIPE)
        try:
            self.recipe: Recipe = parse_recipe(content.decode(), source=f"recipe of model {manifest.version}")
        except ValueError as error:  # a RecipeError, or not UTF-8
            raise BundleError(str(error)) from error
        if self.recipe.name != manifest.recipe:
            raise BundleError(
                f"model {manifest.version} says recipe {manifest.recipe!r} and holds {self.recipe.name!r}"
            )

    @property
    def version(self) -> str:
        """Return the model version."""
        return self.manifest.version

    def file(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            BundleError: the file is missing, or does not have the digest of the manifest.
        """
        content = self.files.get(name)
        if content is None or name not in self.manifest.files:
            raise BundleError(f"model {self.manifest.version} has no {name}: train it again, or copy it again whole")
        if hashlib.sha256(content).hexdigest() != self.manifest.files[name]:
            raise BundleError(f"model {self.manifest.version}: {name} has changed since it was made: do not use it")
        return content


def fastest_variant(bundle: Bundle) -> Variant:
    """Return the variant that inference uses by default: int8 if the bundle has it, else fp32."""
    return Variant.INT8 if all(name in bundle.files for name in VARIANT_FILES[Variant.INT8]) else Variant.FP32


def folder_of(recipe: str, version: str) -> str:
    """Return the prefix of the keys of a bundle, without the last slash."""
    return f"models/{recipe}/{version}"


def digest_of(store: ObjectStore, recipe: str, version: str) -> str:
    """Return the SHA-256 of the manifest of a bundle, which contains the digests of all its files."""
    return hashlib.sha256(store.get(f"{folder_of(recipe, version)}/{MANIFEST}")).hexdigest()


def read_bundle(store: ObjectStore, recipe: str, version: str, digest: str | None = None) -> Bundle:
    """Read a bundle from object storage and check its digests.

    Raises:
        BundleError: the bundle is incomplete or changed, is another model, or does not have this digest.
        StorageError: object storage failed; `ObjectNotFound` if there is no such bundle.
    """
    folder = folder_of(recipe, version)
    content = store.get(f"{folder}/{MANIFEST}")
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise BundleError(f"{folder} has changed since it was promoted: do not use it, and find out who changed it")
    manifest = _read_manifest(content, folder)
    if (manifest.recipe, manifest.version) != (recipe, version):
        raise BundleError(f"{folder} holds model {manifest.version} of recipe {manifest.recipe}: it was copied there")
    try:
        files = {name: store.get(f"{folder}/{name}") for name in manifest.files}
    except ObjectNotFound as error:
        raise BundleError(f"{folder} is incomplete: {error}") from error
    return _check_files(Bundle(manifest, files))


def read_bundle_folder(path: Path) -> Bundle:
    """Read a bundle from a folder of this machine and check its digests.

    Raises:
        BundleError: there is no bundle, or it is incomplete or changed.
    """
    try:
        manifest = _read_manifest((path / MANIFEST).read_bytes(), str(path))
        files = {name: (path / Path(name).name).read_bytes() for name in manifest.files}
    except OSError as error:
        raise BundleError(f"{path} is no model: {error.strerror}: {error.filename}") from error
    return _check_files(Bundle(manifest, files))


def write_bundle(store: ObjectStore, manifest: Manifest, files: dict[str, bytes]) -> Manifest:
    """Store a bundle with the digests of its files, and return its manifest as stored.

    A version that exists is not changed; missing files of it are stored again.

    Raises:
        BundleExists: the version exists, with other files.
        BundleError: the manifest of the existing version can't be read.
    """
    folder = folder_of(manifest.recipe, manifest.version)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    stored = _manifest_of_equal(store, folder, digests)
    for name, content in files.items():
        store.put(f"{folder}/{name}", content)
    if stored or (stored := _manifest_of_equal(store, folder, digests)):
        return stored
    manifest = manifest.model_copy(update={"files": digests})
    store.put(f"{folder}/{MANIFEST}", manifest.model_dump_json(indent=2).encode(), "application/json")
    return manifest


def write_bundle_folder(path: Path, bundle: Bundle) -> None:
    """Write a bundle into a folder of this machine; it is complete when its last file, the manifest, is written."""
    path.mkdir(parents=True, exist_ok=True)
    (path / MANIFEST).unlink(missing_ok=True)
    for name, content in bundle.files.items():
        (path / name).write_bytes(content)
    (path / MANIFEST).write_text(bundle.manifest.model_dump_json(indent=2), encoding="utf-8")


def versions(store: ObjectStore, recipe: str) -> list[str]:
    """Return the model versions of a recipe, in the order of their names."""
    keys = store.keys(f"models/{recipe}/")
    found = [key.split("/")[2] for key in keys if key.endswith(f"/{MANIFEST}") and key.count("/") == 3]
    return [version for version in found if version not in (PRODUCTION, COMPARISONS)]


def comparison_key(recipe: str, baseline: str, candidate: str) -> str:
    """Return the key of the comparison of two versions on the test split of the candidate."""
    return f"models/{recipe}/{COMPARISONS}/{baseline}.{candidate}.json"


def _read_manifest(content: bytes, where: str) -> Manifest:
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        why = first_problem(error)
        raise BundleError(f"{where}/{MANIFEST} is not a manifest: {why}") from error


def _manifest_of_equal(store: ObjectStore, folder: str, digests: dict[str, str]) -> Manifest | None:
    """Return the manifest of an existing bundle with the same files; None if there is no bundle."""
    try:
        manifest = _read_manifest(store.get(f"{folder}/{MANIFEST}"), folder)
    except ObjectNotFound:
        return None
    if manifest.files != digests:
        raise BundleExists(f"{folder} is there already, with other files: a version never changes")
    return manifest


def _check_files(bundle: Bundle) -> Bundle:
    for name in bundle.manifest.files:
        bundle.file(name)
    return bundle
