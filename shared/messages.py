"""The messages between the services: the only contract they share.

A message on the wire is one line of compact JSON, a newline, and the message's image, if it has one. Compact JSON
holds no newline of its own, so the first one ends the line. ``type`` and ``version`` in the JSON name the class below.

Reading is tolerant of fields it does not know (a newer sender) and strict about everything else. A field is never
renamed or given another meaning: that is a new version.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import from_json

IMAGE_LIMIT: Final = 1024 * 1024
"""The largest image (bytes) that travels in a message; a larger one goes to object storage and is referred to."""

LINE_LIMIT: Final = 1024 * 1024
"""The longest JSON line (bytes) that is parsed; the largest that a service sends is an evaluation of some 30 kB."""

REASON_LENGTH: Final = 500
"""Characters of the reason of a `MalformedMessage`: a sender may have chosen the text that it quotes."""

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""An identity that is part of routing keys, storage keys and addresses: letters, digits, ``_`` and ``-``."""

FrameId = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9}$")]
"""``<session>-<sequence>``: the ULID of one run of a camera, and the number of the frame in it."""

SEQUENCE_LIMIT: Final = 999_999_999

Session = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]
"""One run of a camera: a ULID."""

Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))]
"""A time of a message: far enough from the limits of `datetime` to be counted with in every time zone."""

Count = Annotated[int, Field(ge=0, le=10**12)]
"""How many: Redis, Lua and JSON of every language count exactly so far."""

Pixels = Annotated[int, Field(ge=0, le=1_000_000)]
"""A length in an image."""

_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,127}")
"""A file in the folder of a frame in object storage."""


class MalformedMessage(ValueError):
    """Bytes that are no message of ours, or one of a version that this build does not read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason if len(reason) <= REASON_LENGTH else f"{reason[: REASON_LENGTH - 1]}…")


class Message(BaseModel):
    """One fact or command, immutable. ``image`` travels beside the JSON, not inside it."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", allow_inf_nan=False)

    version: ClassVar[int] = 1
    topic: ClassVar[str]
    """Template of the routing key, filled from the message (``{0}``); see `shared.topology`."""
    types: ClassVar[dict[tuple[str, int], type[Message]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.types[cls.__name__, cls.version] = cls

    @property
    def routing_key(self) -> str:
        """Where the message goes on its exchange."""
        return self.topic.format(self)

    def encode(self) -> bytes:
        """The message as it travels."""
        image = getattr(self, "image", None)
        fields = self.model_dump(mode="json", exclude={"image"} if isinstance(image, bytes) else None)
        head = {"type": type(self).__name__, "version": self.version, **fields}
        line = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
        return line + b"\n" + image if isinstance(image, bytes) else line + b"\n"


def decode(body: bytes) -> Message:
    """Read a message.

    Raises:
        MalformedMessage: the bytes are not a message of ours, its version is unknown, or a field has a wrong value.
    """
    end = body.find(b"\n", 0, LINE_LIMIT + 1)
    if end < 0:
        raise MalformedMessage(f"not a message of Seamline: no line of JSON in its first {LINE_LIMIT:,} bytes")
    try:
        # unlike json.loads: bounded depth, no NaN, no lone surrogates
        fields = from_json(body[:end], allow_inf_nan=False)
    except ValueError as error:
        raise MalformedMessage(f"not a message of Seamline: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("version"), int):
        raise MalformedMessage("not a message of Seamline: no type and version in its first line")
    name, version = str(fields.pop("type", "")), fields.pop("version")
    kind = Message.types.get((name, version))
    if kind is None:
        raise MalformedMessage(
            f"{name!r} of version {version} is not known here: upgrade this service before the one that sends it"
        )
    if image := body[end + 1 :]:
        fields["image"] = image
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MalformedMessage(f"{name} of version {version}: {where}: {first['msg']}") from error
    except Exception as error:  # validation depends on the bytes alone, so these are the cause of whatever it raises
        raise MalformedMessage(f"{name} of version {version}: {error!r}") from error


# ── the way of a frame ───────────────────────────────────────────────────────────────────────────────────────────────


class Verdict(StrEnum):
    """What the line is told about a frame."""

    OK = "ok"
    NG = "ng"
    ERROR = "error"
    """The frame could not be judged; `FrameInspected.reason` says why."""


class FrameIdentity(BaseModel):
    """Which frame it is and where it comes from: carried unchanged by every message about it, and by every log line."""

    model_config = ConfigDict(frozen=True)

    frame_id: FrameId
    line: Name
    camera: Name
    batch: Name | None = None
    part: Name | None = None
    captured_at: Moment

    @property
    def session(self) -> str:
        """The run of the camera that this frame belongs to (a ULID)."""
        return self.frame_id[:26]

    @property
    def sequence(self) -> int:
        """The number of the frame in its session, from 0, without gaps."""
        return int(self.frame_id[27:])

    @property
    def storage_key(self) -> str:
        """The folder of everything kept about this frame: ``frames/<line>/<day>/<frame_id>`` (day in UTC)."""
        return f"frames/{self.line}/{self.captured_at.astimezone(UTC):%Y-%m-%d}/{self.frame_id}"

    def owns(self, key: str) -> bool:
        """Whether a key of object storage is that of a file in the frame's own folder."""
        folder, _, name = key.rpartition("/")
        return folder == self.storage_key and _FILE.fullmatch(name) is not None


def frame_id(session: str, sequence: int) -> str:
    """The identity of the ``sequence``-th frame of a session (a ULID)."""
    return f"{session}-{sequence:09d}"


class FrameCaptured(Message):
    """A camera took a frame. Exactly one of ``image`` and ``image_key`` is set, unless the image was empty."""

    topic: ClassVar[str] = "captured.{0.frame.line}.{0.frame.camera}"

    frame: FrameIdentity
    encoding: Literal["jpeg", "png"]
    width: Pixels = Field(gt=0, description="pixels")
    height: Pixels = Field(gt=0, description="pixels")
    image: bytes = b""
    image_key: str | None = Field(None, description="key in object storage of an image above IMAGE_LIMIT")

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        _check_keys(self.frame, self.image_key)
        return self


class FrameDeferred(FrameCaptured):
    """Object storage was away when the image of this frame had to be fetched: judge it when storage is back."""

    topic: ClassVar[str] = "deferred.{0.frame.line}"


class Finding(BaseModel):
    """What the model and the recipe say about one label of a frame."""

    model_config = ConfigDict(frozen=True)

    score: float = Field(ge=0, le=1, description="probability")
    threshold: float = Field(ge=0, le=1)
    present: bool
    unsure: bool = False
    fault: bool = Field(False, description="this label made the frame NG: by its presence, or by its absence")


class FrameInspected(Message):
    """A worker judged a frame."""

    topic: ClassVar[str] = "inspected.{0.route}.{0.frame.line}"

    frame: FrameIdentity
    verdict: Verdict
    reason: str = Field(description="why, in one line, for people: 'break', 'good is missing', 'not an image: …'")
    findings: dict[Name, Finding] = Field(default_factory=dict, description="by label; empty when the verdict is error")
    flagged: bool = Field(description="worth explaining: NG, or unsure")
    recipe: Name
    model_version: Name
    at: Moment
    latency_ms: float = Field(ge=0, le=1e13, description="from capture to verdict")
    image_key: str | None = Field(None, description="where the image is, or is about to be, in object storage")
    image_waits: bool = Field(
        False,
        description="object storage was away: this verdict comes again, for the explainer, when the image is stored",
    )

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        _check_keys(self.frame, self.image_key)
        return self

    @property
    def route(self) -> str:
        """``flagged`` when there is an image to explain, else ``passed``."""
        return "flagged" if self.flagged and self.image_key and not self.image_waits else "passed"


class ExplanationRequested(Message):
    """A person wants heatmaps of an inspected frame: of one that is not flagged, or of further labels."""

    topic: ClassVar[str] = "requested.explanation.{0.frame.line}"

    verdict: FrameInspected = Field(description="the verdict on the frame, as the dashboard has it")
    labels: tuple[Name, ...] = Field((), description="whose heatmaps; none: those that the explainer would choose")
    by: str
    at: Moment

    @property
    def frame(self) -> FrameIdentity:
        """The frame of the verdict."""
        return self.verdict.frame


class ImageDeferred(Message):
    """Object storage was away when an image had to be kept: here it is, to be stored under ``key`` later."""

    topic: ClassVar[str] = "deferred.{0.frame.line}"

    frame: FrameIdentity
    key: str
    content_type: str
    image: bytes = b""
    verdict: FrameInspected | None = Field(
        None, description="on a flagged frame: published again when the image is stored, to be explained"
    )

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        _check_keys(self.frame, self.key)
        return self


class Heatmap(BaseModel):
    """Where a model looked for one label of a frame."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(description="8-bit grey PNG of the image's size in object storage; 255 is the hottest")
    towards: bool = Field(description="True: evidence for the label; False: evidence for its absence")
    peak: tuple[Pixels, Pixels] | None = Field(None, description="x, y in pixels of the image; None for an empty map")
    box: tuple[Pixels, Pixels, Pixels, Pixels] | None = Field(
        None, description="x, y, width, height of the hot region, in pixels"
    )


class FrameExplained(Message):
    """The explainer kept the heatmaps of a frame."""

    topic: ClassVar[str] = "explained.{0.frame.line}"

    frame: FrameIdentity
    model_version: Name
    method: str
    heatmaps: dict[Name, Heatmap] = Field(description="by label; empty when the reason says why there are none")
    overlay_key: str | None = None
    reason: str = ""
    flagged: bool = Field(True, description="the verdict had flagged the frame; if not, a person asked for it")
    at: Moment

    @model_validator(mode="after")
    def _keys_are_of_the_frame(self) -> Self:
        _check_keys(self.frame, self.overlay_key, *(heatmap.key for heatmap in self.heatmaps.values()))
        return self


def _check_keys(frame: FrameIdentity, *keys: str | None) -> None:
    """Whatever says where a frame's files are may name its own files alone."""
    for key in keys:
        if key is not None and not frame.owns(key):
            raise ValueError(f"{key[:80]!r} is not below {frame.storage_key}/")


# ── what the services say about themselves ───────────────────────────────────────────────────────────────────────────


class CameraState(StrEnum):
    """What a camera is doing."""

    RUNNING = "running"
    RECONNECTING = "reconnecting"
    FINISHED = "finished"
    FAILED = "failed"


class CameraReported(Message):
    """A camera tells how it is, every few seconds and at each change. The counts are of its session, never reset."""

    topic: ClassVar[str] = "camera.{0.line}.{0.camera}"

    session: Session
    line: Name
    camera: Name
    state: CameraState
    reason: str = ""
    captured: Count = Field(description="frames taken: published, waiting in the outbox, or refused")
    refused: Count = Field(description="frames that neither the broker nor the outbox would take")
    waiting: Count = Field(description="frames in the outbox, not yet confirmed by the broker")
    frames_per_second: float = Field(ge=0, le=1e6)
    at: Moment


class WorkerReported(Message):
    """An inference worker or explainer tells how it is, every few seconds."""

    topic: ClassVar[str] = "worker.{0.service}"

    service: Name
    worker: str = Field(max_length=200)
    model_version: str | None
    handled: Count = Field(description="messages since it started")
    reason: str = Field("", description="what hinders it, in one line; empty when all is well")
    at: Moment


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class TrainingRequested(Message):
    """Train a model. The trainer owns everything after this; ``training_id`` makes a repeated request harmless."""

    topic: ClassVar[str] = "requested.training.{0.recipe}"

    training_id: Name
    recipe: Name
    recipe_yaml: str | None = Field(None, description="the recipe itself; None for the one of the model in production")
    dataset: str = Field(
        description="name@version, or name for its newest version; a prefix datasets/<name> of object storage with "
        "tables; or a folder where the trainer may read folders"
    )
    architecture: Name = "efficientnet-lite0"
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="epochs, seed, batch size…: see the trainer"
    )
    promote: bool = Field(False, description="promote the model when it is trained and passes the gate")
    by: str
    at: Moment


class TrainingCancelled(Message):
    """Stop a training; what it learned so far is dropped."""

    topic: ClassVar[str] = "requested.cancellation"

    training_id: Name
    by: str
    at: Moment


class TrainingState(StrEnum):
    """Where a training is."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrainingProgressed(Message):
    """How far a training is."""

    topic: ClassVar[str] = "happened.training.{0.recipe}"

    training_id: Name
    recipe: Name
    state: TrainingState
    epoch: Count = 0
    epochs: Count = 0
    metrics: dict[str, float] = Field(default_factory=dict, description="of the last epoch: loss, val_loss, …")
    stage: str = Field("", description="what is done now, besides epochs: reading the images, measuring heatmaps, …")
    reason: str = ""
    model_version: str | None = Field(None, description="set when it finished")
    at: Moment


class ModelTrained(Message):
    """A bundle is in object storage."""

    topic: ClassVar[str] = "happened.trained.{0.recipe}"

    training_id: Name
    recipe: Name
    model_version: Name
    evaluation: dict[str, JsonValue]
    at: Moment


class ComparisonRequested(Message):
    """Measure two model versions on the same images: the test part of the candidate."""

    topic: ClassVar[str] = "requested.comparison.{0.recipe}"

    recipe: Name
    baseline: Name
    candidate: Name
    by: str
    at: Moment


class ThresholdsRequested(Message):
    """Make a model version of other thresholds from one that is there; its network stays as it is.

    ``thresholds_id`` makes a repeated request harmless.
    """

    topic: ClassVar[str] = "requested.thresholds.{0.recipe}"

    thresholds_id: Name
    recipe: Name
    model_version: Name = Field(description="whose network and other thresholds are kept")
    thresholds: dict[Name, Annotated[float, Field(gt=0, lt=1)]] = Field(
        min_length=1, description="by label: those that change"
    )
    reason: str = ""
    promote: bool = Field(False, description="promote the version when it is there and passes the gate")
    by: str
    at: Moment


class ThresholdsKept(Message):
    """A model version of other thresholds is in object storage."""

    topic: ClassVar[str] = "happened.thresholds.{0.recipe}"

    thresholds_id: Name
    recipe: Name
    model_version: Name
    derived_from: Name
    thresholds: dict[Name, Annotated[float, Field(ge=0, le=1)]] = Field(description="of every label")
    reason: str
    by: str
    at: Moment


class ThresholdsRefused(Message):
    """The trainer would not make a model version of these thresholds."""

    topic: ClassVar[str] = "happened.thresholds.{0.recipe}"

    thresholds_id: Name
    recipe: Name
    derived_from: Name
    reason: str
    by: str
    at: Moment


class PromotionRequested(Message):
    """Make a model version the one in production."""

    topic: ClassVar[str] = "requested.promotion.{0.recipe}"

    promotion_id: Name
    recipe: Name
    model_version: Name
    reason: str = ""
    force: bool = Field(False, description="promote although the gate refuses; needs a reason")
    rollback: bool = Field(
        False, description="the version is the one that was in production before: back to it, without the gate"
    )
    by: str
    at: Moment


class PromotionRefused(Message):
    """The trainer would not promote."""

    topic: ClassVar[str] = "happened.refused.{0.recipe}"

    promotion_id: Name
    recipe: Name
    model_version: str
    reason: str
    at: Moment
    by: str = ""
    production_version: str | None = Field(None, description="that was in production, and stays there")


class ModelPromoted(Message):
    """The pointer to the model in production moved."""

    topic: ClassVar[str] = "happened.promoted.{0.recipe}"

    promotion_id: Name
    recipe: Name
    model_version: Name
    digest: str = Field("", description="SHA-256 of the bundle's manifest, which names the digests of all its files")
    previous_version: str | None
    reason: str
    by: str
    at: Moment
    forced: bool = Field(False, description="although the gate refused")
    rollback: bool = Field(False, description="back to the model that was in production before")
    gate: str = Field("", description="what the comparison with the model in production said, in a line")
