"""The recipe: a YAML file that says what is inspected on a product.

A recipe names the labels, and for each label its key for labelling, its colour in heatmaps, its threshold and its role.
Everything that is specific to a product is in its recipe; no service depends on the name of a label.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from unicodedata import normalize

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from shared.label_names import MOST_LABELS, LabelName, label_slug
from shared.messages import Name
from shared.validation import describe, marked

NAMED_COLOURS: Final = {
    "blue": (30, 90, 255),
    "green": (0, 170, 60),
    "red": (230, 30, 40),
    "orange": (255, 140, 0),
    "yellow": (240, 210, 0),
    "cyan": (0, 190, 210),
    "magenta": (220, 30, 200),
    "purple": (130, 60, 200),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
}

RESERVED_KEYS: Final = {"n": "next", "p": "previous", "s": "save", "u": "undo", "q": "quit"}
"""Keys that the labelling tool uses itself."""

Colour = tuple[int, int, int]
"""Red, green, blue; 0 to 255."""


MOST_CHARACTERS: Final = 64 * 1024
"""Length limit of a recipe; a recipe of 64 labels has about 6,000, and the YAML parser is slow."""
REASON_LENGTH: Final = 600
"""Characters of the reason of a `RecipeError`, which quotes the recipe."""


class RecipeError(ValueError):
    """A recipe that can't be used; the message names the file, the line and the label, and says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason if len(reason) <= REASON_LENGTH else f"{reason[: REASON_LENGTH - 1]}…")


class Task(StrEnum):
    """How the labels of an image relate."""

    MULTI_LABEL = "multi-label"
    """Each label is true or false by itself (sigmoid, binary cross-entropy)."""
    EXCLUSIVE = "exclusive"
    """Exactly one label is true (softmax, categorical cross-entropy)."""


class LabelRole(StrEnum):
    """The meaning of a label for the verdict."""

    QUALITY = "quality"
    """True is ok."""
    DEFECT = "defect"
    """True is NG."""
    ATTRIBUTE = "attribute"
    """Without effect on the verdict; if ``expected`` is given, a different value is NG."""
    ANOMALY = "anomaly"
    """The image is unlike anything good. The network measures it beside the other labels, and people do not give it."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Label(_Section):
    """One thing that is true or false of an image."""

    name: LabelName
    key: str | None = Field(
        None,
        pattern=r"^[a-z0-9]$",
        description="key that toggles the label while labelling; None: the label is clicked",
    )
    colour: Colour = Field(description="red, green, blue, 0 to 255; a name or #rrggbb in the file")
    role: LabelRole
    threshold: float = Field(
        0.5, gt=0, lt=1, description="present from this score on; of exclusive labels, the score is divided by it"
    )
    expected: bool | None = Field(None, description="value that the product should have (attributes only)")

    @field_validator("colour", mode="before")
    @classmethod
    def _read_colour(cls, value: object) -> object:
        if isinstance(value, str):
            if value in NAMED_COLOURS:
                return NAMED_COLOURS[value]
            if re.fullmatch(r"#[0-9a-fA-F]{6}", value):
                return tuple(bytes.fromhex(value[1:]))
            raise ValueError(f"write one of {', '.join(NAMED_COLOURS)}, or #rrggbb")
        return value

    @property
    def slug(self) -> str:
        """Return what stands for the label in storage keys, URLs and file names."""
        return label_slug(self.name)

    @field_validator("key")
    @classmethod
    def _key_is_free(cls, value: str | None) -> str | None:
        if value in RESERVED_KEYS:
            raise ValueError(f"{value!r} is the labelling tool's own key for {RESERVED_KEYS[value]!r}: choose another")
        return value

    @model_validator(mode="after")
    def _only_attributes_expect(self) -> Self:
        if self.expected is not None and self.role is not LabelRole.ATTRIBUTE:
            raise ValueError(f"'expected' is for attributes, and this label is a {self.role.value}: remove it")
        return self

    @property
    def decides(self) -> bool:
        """Return whether the label can make a frame NG."""
        return self.role in (LabelRole.QUALITY, LabelRole.DEFECT) or self.expected is not None

    @property
    def is_fault_if_absent(self) -> bool:
        """Return whether the absence of the label makes a frame NG, and not its presence (multi-label)."""
        return self.role is LabelRole.QUALITY or self.expected is True


Motion = Literal["none", "shift", "rotation", "affine"]


class ReferenceSpec(_Section):
    """The reference images (golden samples) that images are compared with."""

    images: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=300)], ...], Field(min_length=1, max_length=100)
    ] = Field(description="names of labelled images of good parts; * stands for any characters")
    motion: Motion = Field(
        "rotation",
        description="how a part may lie otherwise than in its reference: not at all; shifted; shifted and rotated; "
        "or scaled and sheared too",
    )
    least_likeness: float = Field(
        0.7, gt=0, lt=1, description="an image whose correlation with its aligned reference is less is not inspected"
    )

    @field_validator("images", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @property
    def patterns(self) -> list[re.Pattern[str]]:
        """Return what the names of reference images match, in composed Unicode.

        As everywhere, a name may have ``images/`` before it, a backslash for ``/``, and other capitals than the file.
        """
        names = [normalize("NFC", name).replace("\\", "/").removeprefix("./") for name in self.images]
        texts = [fnmatch.translate(re.sub(r"[?[]", r"[\g<0>]", name.removeprefix("images/"))) for name in names]
        return [re.compile(text, re.IGNORECASE) for text in texts]


class ImageSpec(_Section):
    """The input of the network: the size and the colours of images, and how their pixels are normalised."""

    height: int = Field(128, ge=16, le=1024, description="pixels")
    width: int = Field(128, ge=16, le=1024, description="pixels")
    colour: Literal["rgb", "grey"] = "rgb"
    normalisation: Literal["image", "unit", "imagenet"] = Field(
        "image", description="by the image's own mean and deviation; to 0..1; or by ImageNet's statistics"
    )
    fixed: bool = Field(False, description="whether trainings leave size and normalisation as they are")
    reference: ReferenceSpec | None = Field(None, description="None: images are not compared with a reference")

    @property
    def channels(self) -> int:
        """Return the channels of an image."""
        return 1 if self.colour == "grey" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return height, width and channels of the network's input: of an image, and of the reference beside it."""
        return self.height, self.width, self.channels * (2 if self.reference else 1)

    @property
    def alone(self) -> ImageSpec:
        """Return the same without a reference."""
        return self.model_copy(update={"reference": None})


class Augmentation(_Section):
    """The changes that a training may make to an image without changing its labels."""

    brightness: bool = True
    moved_strip: bool = False
    flip_horizontal: bool = False
    flip_vertical: bool = False
    shift: float = Field(0.0, ge=0, le=0.5, description="largest shift, as a share of the image's height or width")
    rotation: float = Field(0.0, ge=0, le=45, description="largest rotation, in degrees")
    blur: bool = False
    noise: bool = False


class Costs(_Section):
    """The costs of wrong verdicts, in any unit."""

    escape: float = Field(10.0, gt=0, description="an NG part that is called ok")
    overkill: float = Field(1.0, gt=0, description="an ok part that is called NG")


class StoredImages(_Section):
    """Which images are stored in addition to those of flagged frames."""

    every_nth_ok: int = Field(0, ge=0, description="also the image of every n-th ok frame; 0 for none")


ExplanationMethod = Literal["grad-cam", "grad-cam++", "layer-cam"]


class Explanation(_Section):
    """How heatmaps are computed."""

    method: ExplanationMethod | None = Field(
        None, description="None: the training chooses the one that points best at known defects"
    )
    layer: str | None = Field(
        None, min_length=1, description="name of the layer whose features are used; None: the training chooses it"
    )


class Parts(_Section):
    """How the frames of a line become parts, and how the frames of a part decide about it."""

    of: Literal["frame", "frames", "identity"] = Field(
        "frame",
        description="each frame is a part; `frames` in a row of a camera are; all frames that name one part are",
    )
    frames: int | None = Field(
        None, ge=1, le=1_000, description="frames of a complete part; where cameras are named, of each of them"
    )
    cameras: tuple[Name, ...] = Field((), max_length=32, description="cameras that each see the part (of: identity)")
    deadline_ms: int = Field(
        2_000, ge=10, le=3_600_000, description="from the capture of a part's first frame to its decision, at most"
    )
    rule: Literal["any", "count", "row", "worst", "mean"] = Field(
        "any",
        description="what makes a part NG: any NG frame; at_least NG frames; at_least NG frames in a row; the recipe, "
        "applied to the worst or to the mean score of each label",
    )
    at_least: int | None = Field(None, ge=1, le=1_000, description="NG frames (rules count and row)")
    not_inspected: Literal["reject", "pass", "stop"] = Field(
        "reject", description="what to do with a part of which a frame is missing at the deadline, late or unreadable"
    )

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.of == "frames" and self.frames is None:
            raise ValueError("'of: frames' needs the number of frames of a part: add frames")
        if self.of == "frame" and self.frames is not None:
            raise ValueError("with 'of: frame' each frame is a part: remove frames, or write 'of: frames'")
        if self.cameras and self.of != "identity":
            raise ValueError("cameras belong to 'of: identity', because only a name says which frames show one part")
        if len(set(self.cameras)) < len(self.cameras):
            raise ValueError("a camera is named twice: name each once")
        if (self.rule in ("count", "row")) != (self.at_least is not None):
            raise ValueError("at_least belongs to the rules count and row, and they need it")
        if self.size and self.at_least and self.at_least > self.size:
            raise ValueError(f"at_least is {self.at_least}, and a part has {self.size} frames: it would never be NG")
        return self

    @property
    def size(self) -> int | None:
        """Return the frames of a complete part; None: only the deadline says that a part is complete."""
        if self.of == "frame":
            return 1
        if self.cameras:
            return len(self.cameras) * (self.frames or 1)
        return self.frames


class RequiredCheck(_Section):
    """The start-of-shift check that has to pass before a line is ready."""

    required: Literal["shift", "change", "both"] = Field(
        "both",
        description="after each start of a shift; after a change of the model or recipe that inspects the line; "
        "after either",
    )
    early_minutes: int = Field(
        30, ge=0, le=240, description="a check that passes so shortly before a shift counts for this shift"
    )
    valid_hours: float | None = Field(
        None, gt=0, le=720, description="a check that passed is valid for this time at most; None: without limit"
    )
    while_due: Literal["mark", "reject", "stop"] = Field(
        "mark",
        description="what becomes of the parts that are inspected while a check is due: they are decided as ever and "
        "marked; rejected; the line stops",
    )


class GoodBy(_Section):
    """The labels of the images of a model that learns from good images alone: they say which parts are good."""

    task: Task
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=MOST_LABELS)]

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        refuse_conflicts(self.task, self.labels)
        return self


def refuse_conflicts(task: Task, labels: Sequence[Label]) -> None:
    """Refuse labels that share a name, a key or a colour, and an exclusive choice between fewer than two.

    Raises:
        ValueError: what to change.
    """
    for what in ("name", "key", "colour"):
        first: dict[object, Label] = {}
        for label in labels:
            value = getattr(label, what)
            other = first.setdefault(value, label)
            if other is not label and value is not None:
                raise PydanticCustomError(
                    "conflict",
                    "the same {what} as label {other}: give each its own",
                    {"what": what, "other": other.name, "label": label.name},
                )
    if task is Task.EXCLUSIVE and len(labels) < 2:
        raise ValueError("an exclusive recipe chooses between labels: name at least two")


class Recipe(_Section):
    """What is inspected on one product."""

    name: Name
    task: Task
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=MOST_LABELS)]
    description: str = ""
    image: ImageSpec = ImageSpec()
    unsure_margin: float = Field(
        0.1, ge=0, le=0.5, description="a score this near its threshold (or a lead this small) is unsure"
    )
    explain: Literal["flagged", "all"] = Field("flagged", description="which frames are flagged for heatmaps")
    explanation: Explanation = Explanation()
    stored_images: StoredImages = StoredImages()
    augmentation: Augmentation = Augmentation()
    costs: Costs = Costs()
    parts: Parts | None = Field(None, description="how frames become parts; None: nothing decides about parts")
    check: RequiredCheck | None = Field(
        None, description="the start-of-shift check that the line needs; None: it is ready without one"
    )
    defect_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of NG parts on the line; give it if the share among the labelled images differs",
    )
    unlike_good: Literal["unsure", "ng", "off"] = Field(
        "unsure",
        description="what a frame is in which no label finds a fault, and which is unlike all good images of the "
        "training: unsure, so that it is flagged; or NG; off: the training does not learn what good images look like",
    )
    good_by: GoodBy | None = Field(
        None,
        description="of a model that learns from good images alone: the labels that people give to its images, which "
        "say what a good part is; the model's own label is true of every other image",
    )

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        refuse_conflicts(self.task, self.labels)
        if any(label.role is LabelRole.ANOMALY for label in self.labels[:-1]):
            raise ValueError("a label of the role anomaly comes last, and there is one at most: the training writes it")
        if self.anomaly and len(self.labels) < (3 if self.task is Task.EXCLUSIVE else 2):
            raise ValueError("a label of the role anomaly is beside the labels that people give: name them")
        if self.good_by is not None and (
            self.task is Task.EXCLUSIVE or [label.role for label in self.labels] != [LabelRole.DEFECT]
        ):
            raise ValueError("good_by belongs to a multi-label recipe with one label, a defect: remove the others")
        return self

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the labels, in the order of the network's outputs."""
        return tuple(label.name for label in self.labels)

    @property
    def anomaly(self) -> Label | None:
        """Return the label of the role anomaly, which is the last output of the network; None if there is none."""
        return self.labels[-1] if self.labels[-1].role is LabelRole.ANOMALY else None

    @property
    def without_anomaly(self) -> Recipe:
        """Return the recipe without the label of the role anomaly."""
        return self.model_copy(update={"labels": self.labels[:-1]}) if self.anomaly else self

    @property
    def annotated(self) -> Recipe:
        """Return the recipe of the labels that people give to images."""
        if self.good_by is None:
            return self.without_anomaly
        return self.model_copy(update={"task": self.good_by.task, "labels": self.good_by.labels, "good_by": None})

    def label(self, name: str) -> Label:
        """Return the label with this name.

        Raises:
            KeyError: the recipe has no such label.
        """
        for label in self.labels:
            if label.name == name:
                return label
        raise KeyError(name)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Recipe:
        """Return the recipe with other thresholds of some labels."""
        labels = tuple(
            label.model_copy(update={"threshold": thresholds.get(label.name, label.threshold)}) for label in self.labels
        )
        return self.model_copy(update={"labels": labels})

    def to_yaml(self) -> str:
        """Return the recipe as YAML, from which an equal recipe can be read."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        for section in filter(None, (document, document.get("good_by"))):
            written = section.pop("labels")  # the labels come last
            section["labels"] = {
                label.pop("name"): {**label, "colour": "#" + bytes(label["colour"]).hex()} for label in written
            }
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        RecipeError: it is missing, is not YAML, or has a wrong value; the error names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: can't be read ({error}): give the path of a recipe, a YAML file") from error
    return parse_recipe(text, source=str(path))


def parse_recipe(text: str, source: str = "recipe", translate: Callable[[str], str] = str) -> Recipe:
    """Read a recipe from YAML.

    Args:
        text: the YAML.
        source: names it in errors.
        translate: changes each text of an error about a value.

    Raises:
        RecipeError: as `read_recipe`.
    """
    if len(text) > MOST_CHARACTERS:
        raise RecipeError(f"{source}, line 1: a recipe has {MOST_CHARACTERS:,} characters at most: shorten it")
    tree, document = _read_yaml(text, source)
    if tree is None or not isinstance(document, dict) or not isinstance(document.get("labels"), dict):
        raise RecipeError(f"{source}, line 1: a recipe has a name, a task and labels: see docs/recipes.md")
    _refuse_repeated_keys(tree, source)
    sections = {**document, "labels": _named(document["labels"])}
    good_by = document.get("good_by")
    if isinstance(good_by, dict) and isinstance(good_by.get("labels"), dict):
        sections["good_by"] = {**good_by, "labels": _named(good_by["labels"])}
    try:
        return Recipe.model_validate(sections)
    except ValidationError as error:
        raise RecipeError(_explain(error, tree, document, source, translate)) from error


def _named(labels: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the labels of a section as a list; a label that is written as a word has this role."""
    return [{"name": name, **(entry if isinstance(entry, dict) else {"role": entry})} for name, entry in labels.items()]


def _read_yaml(text: str, source: str) -> tuple[yaml.Node | None, object]:
    """Parse a file as nodes, which know their lines, and as values.

    Aliases are refused: a few lines of them can expand to more than fits into memory, or contain themselves.
    """
    with _errors_by_line(text, source):
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        aliases = (event for event in yaml.parse(text, Loader=yaml.SafeLoader) if isinstance(event, yaml.AliasEvent))
        alias = next(aliases, None)
    if alias:
        line = alias.start_mark.line + 1 if alias.start_mark else 1
        raise RecipeError(
            f"{source}, line {line}: *{alias.anchor} is an alias, which a recipe may not use: write the value out"
        )
    with _errors_by_line(text, source):
        return tree, yaml.load(text, Loader=_PlainKeys)  # noqa: S506  it is a safe loader


class _PlainKeys(yaml.SafeLoader):
    """Reads keys as they are written: the label ``no`` is not the value False, and ``1.0`` not a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
            return super().construct_mapping(node, deep=deep)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


@contextmanager
def _errors_by_line(text: str, source: str) -> Iterator[None]:
    """Turn errors of the YAML parser into `RecipeError`, with their lines."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{source}, line {line}: not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RecipeError(f"{source}, line {line}: not YAML: {error.reason}") from error
    except RecursionError as error:
        raise RecipeError(f"{source}, line 1: nested too deeply for a recipe") from error
    except (ValueError, OverflowError) as error:  # an invalid date or number
        raise RecipeError(f"{source}, line 1: not YAML: {error}") from error


def _refuse_repeated_keys(tree: yaml.Node, source: str) -> None:
    """Refuse repeated keys: YAML silently replaces the earlier value, so that a label would be lost."""
    if not isinstance(tree, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in tree.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            raise RecipeError(f"{source}, line {line}: {key.value!r} is already on line {seen[key.value]}: keep one")
        seen[key.value] = line
        _refuse_repeated_keys(value, source)


def _explain(
    error: ValidationError, tree: yaml.Node, document: dict[str, Any], source: str, translate: Callable[[str], str]
) -> str:
    problem = error.errors()[0]
    where: list[Any] = [part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    if problem["type"] == "conflict":
        where += ["labels", problem["ctx"]["label"], problem["ctx"]["what"]]
    above = ["good_by"] if where[:1] == ["good_by"] else []
    at = len(above) + 1  # the position of a label
    in_label = where[:at] == [*above, "labels"] and len(where) > at
    if in_label and isinstance(where[at], int):
        where[at] = list((document["good_by"] if above else document)["labels"])[where[at]]
    line = _line_of(tree, where)
    field = f"{where[-1]}: " if where and where[-1] != "labels" and not (in_label and len(where) == at + 1) else ""
    text = field + describe(problem, translate)
    if in_label:
        text = translate(marked("label {label}, {text}")).format(label=where[at], text=text)
    if isinstance(problem["input"], str | int | float | bool):
        text += translate(marked(" (is {given})")).format(given=_quoted(problem["input"]))
    return translate(marked("{source}, line {line}: {text}")).format(source=source, line=line, text=text)


def _quoted(given: float | str) -> str:
    try:
        return repr(given)
    except ValueError:  # a hexadecimal integer may have more decimal digits than Python converts
        return "a number of thousands of digits"


def _line_of(node: yaml.Node, path: list[Any]) -> int:
    """Return the line (from 1) of the deepest part of ``path`` that the file has."""
    line = node.start_mark.line + 1
    for part in path:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
