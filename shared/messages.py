"""The messages between the services: the only contract they share.

A message on the wire is one line of compact JSON, a newline, and the message's image, if it has one. Compact JSON
holds no newline of its own, so the first one ends the line. ``type`` and ``version`` in the JSON name the class below.

Reading is tolerant of fields it does not know (a newer sender) and strict about everything else. A field is never
renamed or given another meaning: that is a new version.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import from_json

from shared.label_names import LabelName
from shared.validation import describe

IMAGE_LIMIT: Final = 1024 * 1024
"""Bytes of the largest image in a message; a larger image is stored, and the message has its key."""

LINE_LIMIT: Final = 1024 * 1024
"""Bytes of the longest JSON line that is parsed; the longest that a service sends is an evaluation of about 30 kB."""

REASON_LENGTH: Final = 500
"""Most characters of the reason of a `MalformedMessage`: it may quote text of the sender."""

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""A name that is part of routing keys, storage keys and URLs: letters, digits, ``_`` and ``-``."""

FrameId = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9}$")]
"""``<session>-<sequence>``: the ULID of one run of a camera, and the number of the frame in it."""

SEQUENCE_LIMIT: Final = 999_999_999

Ulid = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]

Session = Ulid
"""One run of a camera."""

Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))]
"""A moment, far enough from the limits of `datetime` for arithmetic in every time zone."""

Count = Annotated[int, Field(ge=0, le=10**12)]
"""A number that Redis, Lua and JSON represent exactly."""

Pixels = Annotated[int, Field(ge=0, le=1_000_000)]
"""A length in an image."""

_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,127}")
"""A file in the folder of a frame in object storage."""


class MalformedMessage(ValueError):
    """Bytes that are not a message of Seamline, or a message of an unknown version."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason if len(reason) <= REASON_LENGTH else f"{reason[: REASON_LENGTH - 1]}…")


class Message(BaseModel):
    """An immutable fact or command. ``image`` is sent after the JSON, not inside it."""

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
        """Return the routing key of the message."""
        return self.topic.format(self)

    def encode(self) -> bytes:
        """Return the bytes of the message."""
        image = getattr(self, "image", None)
        fields = self.model_dump_json(exclude={"image"} if isinstance(image, bytes) else None)
        line = f'{{"type":"{type(self).__name__}","version":{self.version},{fields.removeprefix("{")}\n'.encode()
        return line + image if isinstance(image, bytes) else line


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
        raise MalformedMessage(f"{name} of version {version}: {where}: {describe(first)}") from error
    except Exception as error:  # validation depends only on the bytes, so they cause every error
        raise MalformedMessage(f"{name} of version {version}: {error!r}") from error


# ── the way of a frame ───────────────────────────────────────────────────────────────────────────────────────────────


class Verdict(StrEnum):
    """The result of the inspection of a frame."""

    OK = "ok"
    NG = "ng"
    ERROR = "error"
    """The frame could not be inspected; `FrameInspected.reason` says why."""


CHECK_BY_CAMERA: Final = "by-camera"
"""Stands for the check of the line that runs, in the frames that a camera captures for it."""


class FrameIdentity(BaseModel):
    """The identity and origin of a frame, the same in every message and every log line about it."""

    model_config = ConfigDict(frozen=True)

    frame_id: FrameId
    line: Name
    camera: Name
    batch: Name | None = None
    part: Name | None = None
    captured_at: Moment
    order: Name | None = None
    operator: Name | None = None
    recipe: Name | None = None
    """The recipe by which the frame is inspected; None: that of the workers (`INFERENCE_RECIPE`)."""
    encoder_count: int | None = None
    """The count of the line's encoder at the trigger, if the trigger says it."""
    check: Name | None = None
    """The check of the line that the frame belongs to: such a frame is no production, and nothing counts it.

    The frame of a part that was fed to a camera has `CHECK_BY_CAMERA`, because the camera does not know the check.
    """

    @property
    def session(self) -> str:
        """Return the session of the camera (a ULID)."""
        return self.frame_id[:26]

    @property
    def sequence(self) -> int:
        """Return the number of the frame in its session, from 0, without gaps."""
        return int(self.frame_id[27:])

    @property
    def storage_key(self) -> str:
        """Return the prefix of the objects of this frame: ``frames/<line>/<day>/<frame_id>`` (day in UTC).

        The image of a check is in the challenge set of the line.
        """
        if self.check:
            return challenge_folder(self.line)
        return f"frames/{self.line}/{self.captured_at.astimezone(UTC):%Y-%m-%d}/{self.frame_id}"

    def owns(self, key: str) -> bool:
        """Return whether a storage key is below the prefix of this frame."""
        folder, _, name = key.rpartition("/")
        return folder == self.storage_key and _FILE.fullmatch(name) is not None


def challenge_folder(line: str) -> str:
    """Return the prefix of the images of a line's challenge set."""
    return f"challenges/{line}"


def frame_id(session: str, sequence: int) -> str:
    """Return the id of a frame from its session (a ULID) and its number."""
    return f"{session}-{sequence:09d}"


class FrameCaptured(Message):
    """A camera captured a frame. Exactly one of ``image`` and ``image_key`` is set, unless the image is empty."""

    topic: ClassVar[str] = "captured.{0.frame.line}.{0.frame.camera}"
    of_check: ClassVar[bool] = False
    """Whether messages of this type are about frames of checks."""

    frame: FrameIdentity
    encoding: Literal["jpeg", "png"]
    width: Pixels = Field(gt=0, description="pixels")
    height: Pixels = Field(gt=0, description="pixels")
    image: bytes = b""
    image_key: str | None = Field(None, description="key in object storage of an image above IMAGE_LIMIT")

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        _check_keys(self.frame, self.image_key)
        _refuse_other_kind(self.frame, of_check=self.of_check)
        return self


class CheckFrame(FrameCaptured):
    """A check of a line: inspect an image of its challenge set, or of a part at its camera, and count it nowhere."""

    topic: ClassVar[str] = "captured.check.{0.frame.line}"
    of_check: ClassVar[bool] = True


class FrameDeferred(FrameCaptured):
    """Object storage was unavailable when the image of this frame had to be read: inspect the frame later."""

    topic: ClassVar[str] = "deferred.{0.frame.line}"


class FrameReturned(FrameCaptured):
    """Object storage is available again: inspect a frame that was deferred."""

    topic: ClassVar[str] = "captured.again.{0.frame.line}"


class Finding(BaseModel):
    """The result for one label of a frame."""

    model_config = ConfigDict(frozen=True)

    score: float = Field(ge=0, le=1, description="probability")
    threshold: float = Field(ge=0, le=1)
    present: bool
    unsure: bool = False
    fault: bool = Field(False, description="this label made the frame NG: by its presence, or by its absence")


class FrameInspected(Message):
    """A worker inspected a frame."""

    topic: ClassVar[str] = "inspected.{0.route}.{0.frame.line}"
    of_check: ClassVar[bool] = False
    """Whether messages of this type are about frames of checks."""

    frame: FrameIdentity
    verdict: Verdict
    reason: str = Field(
        description="reason of the verdict, in one line: 'break', 'not good', 'neither a JPEG nor a PNG'"
    )
    findings: dict[LabelName, Finding] = Field(
        default_factory=dict, description="findings by label; empty if the verdict is error"
    )
    flagged: bool = Field(description="worth explaining: NG, or unsure")
    recipe: Name
    model_version: Name
    at: Moment
    latency_ms: float = Field(ge=0, le=1e13, description="milliseconds from the capture to the verdict")
    image_key: str | None = Field(None, description="key of the image in object storage, where it is or will be stored")
    image_waits: bool = Field(
        False,
        description="object storage was unavailable: this verdict is sent again when the image is stored",
    )

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        _check_keys(self.frame, self.image_key)
        _refuse_other_kind(self.frame, of_check=self.of_check)
        return self

    @property
    def route(self) -> str:
        """Return ``flagged`` if there is an image to explain, else ``passed``."""
        return "flagged" if self.flagged and self.image_key and not self.image_waits else "passed"


class CheckFrameInspected(FrameInspected):
    """A worker inspected a frame of a check. The gateway alone receives it."""

    topic: ClassVar[str] = "checked.frame.{0.frame.line}"
    of_check: ClassVar[bool] = True


class ExplanationRequested(Message):
    """A person wants heatmaps of an inspected frame: of one that is not flagged, or of further labels."""

    topic: ClassVar[str] = "requested.explanation.{0.frame.line}"

    verdict: FrameInspected = Field(description="the verdict on the frame, as the dashboard has it")
    labels: tuple[LabelName, ...] = Field((), description="whose heatmaps; none: those that the explainer would choose")
    by: str
    at: Moment

    @property
    def frame(self) -> FrameIdentity:
        """The frame of the verdict."""
        return self.verdict.frame


class ImageDeferred(Message):
    """Object storage was unavailable when this image had to be stored: store it under ``key`` later."""

    topic: ClassVar[str] = "deferred.{0.frame.line}"

    frame: FrameIdentity
    key: str
    content_type: str
    image: bytes = b""
    verdict: FrameInspected | None = Field(
        None, description="verdict of a flagged frame, which is sent again for the explainer when the image is stored"
    )

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        _check_keys(self.frame, self.key)
        return self


class Heatmap(BaseModel):
    """The heatmap of one label of a frame."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(
        description="8-bit grey PNG in object storage, of the size of the network's input or of a smaller image, to be "
        "stretched over the image; the peak is 0 for a rarity of 0.05 or more, 255 for 0.001 or without a rarity, and "
        "linear in its logarithm between"
    )
    for_label: bool = Field(description="True: evidence for the label; False: evidence against it")
    peak: tuple[Pixels, Pixels] | None = Field(
        None,
        description="x, y in pixels of the image of the strongest evidence, be it rare or not; None if there is none",
    )
    box: tuple[Pixels, Pixels, Pixels, Pixels] | None = Field(
        None, description="x, y, width, height of the hot region, in pixels of the image"
    )
    rarity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of good images with as much evidence, 0.001 to 0.05; 1: more, so the map is empty; None: "
        "not known, because too few good images were held out",
    )


class FrameExplained(Message):
    """The explainer stored the heatmaps of a frame."""

    topic: ClassVar[str] = "explained.{0.frame.line}"

    frame: FrameIdentity
    model_version: Name
    method: str
    heatmaps: dict[LabelName, Heatmap] = Field(
        description="heatmaps by label; empty if the reason says why there are none"
    )
    overlay_key: str | None = None
    reason: str = ""
    flagged: bool = Field(
        True, description="the verdict had flagged the frame; if not, a person requested the explanation"
    )
    at: Moment

    @model_validator(mode="after")
    def _keys_are_of_the_frame(self) -> Self:
        _check_keys(self.frame, self.overlay_key, *(heatmap.key for heatmap in self.heatmaps.values()))
        return self


class PartVerdict(StrEnum):
    """The result of the inspection of a part."""

    OK = "ok"
    NG = "ng"
    NOT_INSPECTED = "not_inspected"
    """No frame made it NG, and some frame was missing, late or unreadable."""


class PartAction(StrEnum):
    """What the line does with a part."""

    PASS = "pass"  # noqa: S105  the part passes
    REJECT = "reject"
    STOP = "stop"
    """The line stops."""


class PartDecided(Message):
    """The gateway decided about a part. There is exactly one decision per part."""

    topic: ClassVar[str] = "decided.{0.frame.line}"

    part: str = Field(min_length=1, max_length=64, description="name of the part, or the id of its first frame")
    frame: FrameIdentity = Field(description="the first frame of the part: its line, camera, batch and capture time")
    verdict: PartVerdict
    action: PartAction
    reason: str = Field(description="reason of the verdict, in one line: '2 of 5 frames are NG: break'")
    faults: tuple[LabelName, ...] = Field((), description="the labels that made it NG")
    scores: dict[LabelName, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="scores by label: the mean over the frames if the rule is mean, else the worst one",
    )
    frames: tuple[FrameId, ...] = Field(
        (), description="frames that were inspected before the deadline, by which the part is decided"
    )
    late: tuple[FrameId, ...] = Field(
        (), description="frames that were inspected after the deadline and before the decision"
    )
    missing: Count = Field(0, description="frames without a verdict at the deadline")
    recipe: Name
    model_versions: tuple[Name, ...] = Field((), description="model versions that inspected the frames")
    latency_ms: float = Field(
        ge=0, le=1e13, description="milliseconds from the capture of the first frame to the decision"
    )
    unchecked: bool = Field(False, description="decided while a check of the line was due")
    at: Moment


class OutputTestRequested(Message):
    """A person tests an output of a line: the gateway sends a signal that is marked as a test."""

    topic: ClassVar[str] = "requested.line.test.{0.line}"

    test_id: Name
    line: Name
    output: Name
    by: str
    at: Moment


class RecipeChangeRequested(Message):
    """A person changes the product of a line: its next parts are inspected by another recipe."""

    topic: ClassVar[str] = "requested.line.recipe.{0.line}"

    change_id: Ulid
    line: Name
    recipe: Name
    by: str
    at: Moment


class Expected(StrEnum):
    """The verdict that a part of a challenge set must get."""

    OK = "ok"
    NG = "ng"


class ChallengeImage(BaseModel):
    """An image of a part of a challenge set."""

    model_config = ConfigDict(frozen=True)

    camera: Name = Field(description="camera that would capture it")
    key: str = Field(max_length=512, description="key in object storage, below the challenge set of the line")
    encoding: Literal["jpeg", "png"]
    width: Pixels = Field(gt=0)
    height: Pixels = Field(gt=0)


class ChallengePart(BaseModel):
    """A part of a challenge set, whose verdict is known."""

    model_config = ConfigDict(frozen=True)

    name: Name
    expected: Expected
    defects: tuple[LabelName, ...] = Field((), max_length=64, description="labels that have to make it NG")
    images: tuple[ChallengeImage, ...] = Field((), max_length=32)
    fed: bool = Field(False, description="a real part, which can be fed to the cameras; others have images only")

    @model_validator(mode="after")
    def _can_be_inspected(self) -> Self:
        if not self.images and not self.fed:
            raise ValueError("a part has images, or it is a real part")
        return self


class CheckRequested(Message):
    """A person checks a line: the gateway sends the parts of its challenge set the whole way, one after the other."""

    topic: ClassVar[str] = "requested.line.check.{0.line}"

    check_id: Name
    line: Name
    parts: tuple[ChallengePart, ...] = Field(min_length=1, max_length=100)
    by_camera: bool = Field(False, description="the parts are fed to the cameras in this order, and triggered")
    recipe: Name | None = Field(None, description="recipe that has to inspect the parts; None: as without triggers")
    part_seconds: float = Field(
        10.0, gt=0, le=600, description="for the verdicts on one part, at most; by camera: until the next part comes"
    )
    by: str
    at: Moment


class CheckedPart(BaseModel):
    """What the line said of a part of the challenge set."""

    model_config = ConfigDict(frozen=True)

    part: ChallengePart
    verdict: PartVerdict
    action: PartAction
    reason: str = Field(description="of the verdict, in one line")
    faults: tuple[LabelName, ...] = ()
    passed: bool = Field(description="the verdict is the expected one, and the expected labels made the part NG")
    latency_ms: float = Field(ge=0, le=1e13, description="from sending the images to the decision")


class CheckedOutput(BaseModel):
    """What became of the signals of a check at an output: they are marked as a test."""

    model_config = ConfigDict(frozen=True)

    name: Name
    type: str = Field(max_length=40)
    sent: Count = 0
    missed: Count = 0
    filtered: Count = Field(0, description="not wanted by the settings of the output, as in production")
    withheld: Count = Field(0, description="not sent, because the receiver can't tell them from those of production")
    reason: str = Field("", max_length=500, description="why the last one was missed")


class LineChecked(Message):
    """The gateway finished the check of a line. This is the record of the check."""

    topic: ClassVar[str] = "checked.line.{0.line}"

    check_id: Name
    line: Name
    passed: bool = Field(description="each part got its expected verdict, and each signal was sent in time")
    reason: str = Field("", max_length=REASON_LENGTH, description="why it failed, in one line")
    parts: tuple[CheckedPart, ...] = Field((), description="those that were decided, in their order")
    outputs: tuple[CheckedOutput, ...] = ()
    escapes: Count = Field(0, description="parts that had to be NG and were ok")
    overkill: Count = Field(0, description="parts that had to be ok and were NG")
    recipe: Name | None = Field(None, description="recipe that inspected the parts; None: no worker answered")
    model_versions: tuple[Name, ...] = Field((), description="model versions that inspected the parts")
    by: str = Field(description="who ran the check")
    requested_at: Moment
    at: Moment


def _refuse_other_kind(frame: FrameIdentity, *, of_check: bool) -> None:
    """Check that a frame of a check is in no message about production, and the other way round."""
    if (frame.check is not None) is not of_check:
        raise ValueError(f"frame {frame.frame_id} is {'of a check' if frame.check else 'of no check'}")


def _check_keys(frame: FrameIdentity, *keys: str | None) -> None:
    """Check that all keys are of files of this frame."""
    for key in keys:
        if key is not None and not frame.owns(key):
            raise ValueError(f"{key[:80]!r} is not below {frame.storage_key}/")


# ── what the services say about themselves ───────────────────────────────────────────────────────────────────────────


class CameraState(StrEnum):
    """The state of a camera."""

    RUNNING = "running"
    RECONNECTING = "reconnecting"
    FINISHED = "finished"
    FAILED = "failed"


class CameraSight(StrEnum):
    """Whether the images of a running camera can be inspected."""

    CLEAR = "clear"
    FROZEN = "frozen"
    """It sends the same image again and again: these images become no frames."""
    DARK = "dark"
    OVEREXPOSED = "overexposed"
    COVERED = "covered"
    BLURRED = "blurred"


class CameraReported(Message):
    """A camera reports its state, every few seconds and at each change. The counts are those of its session."""

    topic: ClassVar[str] = "camera.{0.line}.{0.camera}"

    session: Session
    line: Name
    camera: Name
    state: CameraState
    reason: str = ""
    sight: CameraSight = Field(CameraSight.CLEAR, description="whether its images can be inspected")
    captured: Count = Field(description="frames captured: published, waiting in the outbox, or dropped")
    dropped: Count = Field(description="frames that neither the broker nor the outbox took")
    unreadable: Count = Field(
        0, description="images of the source that became no frames: damaged, or sent again by a frozen camera"
    )
    triggers: Count = Field(0, description="triggers: captured + missed; 0 of a camera that captures without triggers")
    missed_triggers: Count = Field(
        0, description="triggers that came while the camera was busy or away, and got no image"
    )
    waiting: Count = Field(description="frames in the outbox, not yet confirmed by the broker")
    recipe: Name | None = Field(
        None, description="recipe of the next part that no trigger gives one; None: the workers' own recipe"
    )
    frames_per_second: float = Field(ge=0, le=1e6)
    at: Moment


class WorkerReported(Message):
    """A worker or a gateway reports its state, every few seconds."""

    topic: ClassVar[str] = "worker.{0.service}"

    service: Name
    worker: str = Field(max_length=200)
    host: str = Field("", max_length=200, description="name of its machine or container")
    recipe: Name | None = Field(None, description="recipe of the model")
    model_version: str | None
    handled: Count = Field(description="messages since it started")
    messages_per_second: float = Field(0.0, ge=0, le=1e6, description="handled since its report before")
    started_at: Moment | None = None
    reason: str = Field("", description="why the worker does not work, in one line; empty if it is healthy")
    at: Moment


class OutputReport(BaseModel):
    """An output of a line, and what became of the decisions that it got."""

    model_config = ConfigDict(frozen=True)

    name: Name
    type: str = Field(max_length=40, description="webhook, mqtt, modbus, modbus_client, modbus_coil, opcua or file")
    failing: bool
    last_error: str = Field("", max_length=200)
    decisions: Count = Field(description="filtered + sent + missed + waiting")
    filtered: Count = Field(description="not wanted by the settings of the output")
    sent: Count
    missed: Count = Field(description="not sent, because the deadline had passed or the receiver refused them")
    waiting: Count


class CheckState(StrEnum):
    """The state of the last check of a line."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"


class CheckReport(BaseModel):
    """The last check of a line: the one that runs, or else the one that ended last."""

    model_config = ConfigDict(frozen=True)

    check_id: Name
    state: CheckState
    by: str
    at: Moment = Field(description="when it began, or ended")
    next_part: Name | None = Field(None, description="the part that has to be fed to the cameras now")
    reason: str = Field("", max_length=REASON_LENGTH, description="why it failed")


class CheckCause(StrEnum):
    """Why a check of a line is due."""

    NEVER = "never"
    """No check of the line has passed so far."""
    FAILED = "failed"
    """The last check has failed."""
    SHIFT = "shift"
    """A shift has begun after the check that passed."""
    CHANGE = "change"
    """Another model or recipe has inspected a frame since the check that passed."""
    EXPIRED = "expired"
    """The check that passed is older than the recipe allows."""


class DueCheck(BaseModel):
    """A check that the recipe requires of a line, and that has not passed: the line is not ready."""

    model_config = ConfigDict(frozen=True)

    cause: CheckCause
    since: Moment | None = Field(None, description="since when it is due; None if no check has passed so far")


class GatewayReported(Message):
    """The gateway that acts reports a line and its outputs, every few seconds."""

    topic: ClassVar[str] = "gateway.{0.line}"

    gateway: str = Field(max_length=200)
    line: Name
    online: bool = Field(description="the line inspects parts: cameras, workers and the gateway work")
    reason: str = Field("", description="why it is not online")
    outputs: tuple[OutputReport, ...] = ()
    check: CheckReport | None = Field(None, description="the last check of the line; None: the gateway knows none")
    due_check: DueCheck | None = Field(None, description="the check that is due; None: none is, or none is required")
    at: Moment

    @property
    def ready(self) -> bool:
        """Whether parts may be inspected: the line is online, and no check is due."""
        return self.online and self.due_check is None


class RecipeChange(BaseModel):
    """A change of the recipe by which a line is inspected."""

    model_config = ConfigDict(frozen=True)

    change_id: Ulid
    recipe: Name
    previous: Name | None = Field(None, description="recipe before the change; None: it is not known")
    by: str
    at: Moment


class RecipeAnnounced(Message):
    """The gateway tells the cameras of a line its recipe: at each change, and every few seconds."""

    topic: ClassVar[str] = "recipe.{0.line}"

    line: Name
    change: RecipeChange | None = Field(
        None, description="last change; None: the workers' own recipe inspects the line"
    )
    at_part: bool = Field(
        False, description="the change takes effect at a frame of another part, because frames name their parts"
    )
    every: int = Field(
        1, ge=1, le=10**9, description="the change takes effect at a frame whose number is a multiple of this"
    )
    recipes: tuple[Name, ...] = Field((), description="recipes that have a model in production")
    answered: Ulid | None = Field(None, description="last request for a change, which was done or refused")
    refusal: str = Field("", max_length=REASON_LENGTH, description="why it was refused; empty: it was done")
    at: Moment

    @property
    def recipe(self) -> str | None:
        """Return the recipe of the line; None: the workers' own."""
        return self.change.recipe if self.change else None


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class TrainingRequested(Message):
    """Train a model. A repeated request with the same ``training_id`` has no effect."""

    topic: ClassVar[str] = "requested.training.{0.recipe}"

    training_id: Name
    recipe: Name
    recipe_yaml: str | None = Field(None, description="the recipe itself; None for the one of the model in production")
    dataset: str = Field(
        description="name@version, or name for its newest version; a prefix datasets/<name> of object storage with "
        "tables; or a folder where the trainer may read folders"
    )
    architecture: Name = "lite0-depths"
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="epochs, seed, batch size…: see the trainer"
    )
    promote: bool = Field(False, description="promote the model if it passes the gate")
    by: str
    at: Moment


class TrainingCancelled(Message):
    """Cancel a training; its result is discarded."""

    topic: ClassVar[str] = "requested.cancellation"

    training_id: Name
    by: str
    at: Moment


class TrainingState(StrEnum):
    """The state of a training."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrainingProgressed(Message):
    """The progress of a training."""

    topic: ClassVar[str] = "happened.training.{0.recipe}"

    training_id: Name
    recipe: Name
    state: TrainingState
    epoch: Count = 0
    epochs: Count = 0
    metrics: dict[str, float] = Field(default_factory=dict, description="metrics of the last epoch: loss, val_loss, …")
    stage: str = Field("", description="current step besides the epochs: reading the images, measuring heatmaps, …")
    reason: str = ""
    model_version: str | None = Field(None, description="set when it finished")
    at: Moment


class ModelTrained(Message):
    """A trained model is stored as a bundle."""

    topic: ClassVar[str] = "happened.trained.{0.recipe}"

    training_id: Name
    recipe: Name
    model_version: Name
    evaluation: dict[str, JsonValue]
    at: Moment


class ComparisonRequested(Message):
    """Compare two model versions on the same images: the test split of the candidate."""

    topic: ClassVar[str] = "requested.comparison.{0.recipe}"

    recipe: Name
    baseline: Name
    candidate: Name
    by: str
    at: Moment


class ThresholdsRequested(Message):
    """Make a model version with other thresholds and the same network from an existing version.

    A repeated request with the same ``thresholds_id`` has no effect.
    """

    topic: ClassVar[str] = "requested.thresholds.{0.recipe}"

    thresholds_id: Name
    recipe: Name
    model_version: Name = Field(description="existing version, whose network and other thresholds are used")
    thresholds: dict[LabelName, Annotated[float, Field(gt=0, lt=1)]] = Field(
        min_length=1, description="the changed thresholds by label"
    )
    reason: str = ""
    promote: bool = Field(False, description="promote the version if it passes the gate")
    by: str
    at: Moment


class ThresholdsStored(Message):
    """A model version with other thresholds is stored."""

    topic: ClassVar[str] = "happened.thresholds.{0.recipe}"

    thresholds_id: Name
    recipe: Name
    model_version: Name
    derived_from: Name
    thresholds: dict[LabelName, Annotated[float, Field(ge=0, le=1)]] = Field(description="thresholds of all labels")
    reason: str
    by: str
    at: Moment


class ThresholdsRefused(Message):
    """The trainer refused to make a model version with these thresholds."""

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
    rollback: bool = Field(False, description="return to the version that was in production before, without the gate")
    by: str
    at: Moment


class PromotionRefused(Message):
    """The trainer refused a promotion."""

    topic: ClassVar[str] = "happened.refused.{0.recipe}"

    promotion_id: Name
    recipe: Name
    model_version: str
    reason: str
    at: Moment
    by: str = ""
    production_version: str | None = Field(None, description="version that stays in production")


class ModelPromoted(Message):
    """A model version is in production from now on."""

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
    gate: str = Field("", description="result of the comparison with the model in production, in a line")
