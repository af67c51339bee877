"""The messages on the wire: their examples can be read, and malformed bytes are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import messages
from shared.messages import (
    LINE_LIMIT,
    REASON_LENGTH,
    FrameCaptured,
    FrameIdentity,
    MalformedMessage,
    Message,
    TrainingProgressed,
    decode,
)
from tests.messages import FOREIGN, MOMENT, captured, identity, inspected, training_requested

GOLDEN = Path(__file__).parents[1] / "golden" / "messages"
FILES = sorted(GOLDEN.glob("*.json"))
KINDS = {name: kind for (name, _), kind in Message.types.items() if kind.__module__ == messages.__name__}


IMAGE = b"\xff\xd8 a\nimage"


def body_of(fields: dict[str, Any]) -> bytes:
    """Return the bytes of a message, with an image if its type has one."""
    image = IMAGE if "image" in KINDS[fields["type"]].model_fields else b""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n" + image


def golden(path: Path) -> tuple[bytes, dict[str, Any]]:
    fields = json.loads(path.read_text())
    return body_of(fields), fields


def test_every_message_of_every_version_has_a_golden_file() -> None:
    assert {path.name for path in FILES} == {f"{kind.__name__}.{kind.version}.json" for kind in KINDS.values()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_old_message_still_reads_and_says_the_same(path: Path) -> None:
    body, fields = golden(path)
    message = decode(body)
    head, _, image = message.encode().partition(b"\n")
    said = json.loads(head)
    assert image == body.partition(b"\n")[2]
    # a newer version of ours may say more, with a default; it never says less, or something else
    assert {key: said[key] for key in fields} == fields


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_fields_of_a_newer_sender_are_passed_over(path: Path) -> None:
    body, fields = golden(path)
    newer = body_of({**fields, "invented_later": {"deep": [1, 2]}})
    assert decode(newer) == decode(body)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_message_of_a_version_that_is_not_known_is_malformed(path: Path) -> None:
    _, fields = golden(path)
    with pytest.raises(MalformedMessage, match="upgrade this service"):
        decode(body_of({**fields, "version": 99}))


@given(image=st.binary(max_size=300), sequence=st.integers(0, messages.SEQUENCE_LIMIT))
def test_a_frame_arrives_as_it_left_whatever_its_image(image: bytes, sequence: int) -> None:
    message = captured(sequence, image)
    assert decode(message.encode()) == message


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(body)


@given(cut=st.integers(0, 400))
def test_a_message_cut_short_is_malformed_or_has_a_shorter_image(cut: int) -> None:
    whole = captured(1, b"p" * 100)
    body = whole.encode()
    cut = min(cut, len(body) - 1)
    try:
        read = decode(body[:cut])
    except MalformedMessage:
        assert cut <= body.index(b"\n")
    else:
        assert isinstance(read, FrameCaptured)
        assert read.frame == whole.frame


@pytest.mark.parametrize("name", ["", "line 1", "-line", "línea", "a" * 65, "a.b", "a/b", "a#"])
def test_a_name_that_would_mean_something_in_a_routing_key_or_a_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="line"):
        identity(1, line=name)


def test_a_message_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        captured(1).width = 3  # type: ignore[misc]


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_foreign_bytes_are_malformed_and_their_reason_is_short(body: bytes) -> None:
    with pytest.raises(MalformedMessage) as malformed:
        decode(body)
    assert len(str(malformed.value)) <= REASON_LENGTH


@pytest.mark.parametrize("depth", [50, 199, 200, 1_000])
def test_a_message_that_is_read_can_be_written_again_however_deep_it_is(depth: int) -> None:
    body = (
        training_requested().encode().replace(b'"options":{}', b'"options":{"x":' + b"[" * depth + b"]" * depth + b"}")
    )
    try:
        message = decode(body)
    except MalformedMessage:
        assert depth > 50
    else:
        assert message.encode() == body


def test_a_number_too_large_for_a_float_is_malformed_in_any_field() -> None:
    options = training_requested().encode().replace(b'"options":{}', b'"options":{"x":[1e999]}')
    latency = inspected().encode().replace(b'"latency_ms":12.5', b'"latency_ms":1e999')
    for body in (options, latency):
        assert b"1e999" in body
        with pytest.raises(MalformedMessage, match="finite number"):
            decode(body)


def test_of_a_key_that_is_given_twice_the_last_counts() -> None:
    body = inspected().encode().replace(b'"recipe":"seam"', b'"recipe":"fruit","recipe":"seam"')
    assert decode(body) == inspected()


def test_a_line_of_the_longest_length_is_read_and_a_longer_one_is_not() -> None:
    fields = {"training_id": "t", "recipe": "seam", "state": "failed", "at": MOMENT}
    short = TrainingProgressed.model_validate(fields).encode()
    longest = TrainingProgressed.model_validate({**fields, "reason": "a" * (LINE_LIMIT + 1 - len(short))}).encode()
    assert len(longest) == LINE_LIMIT + 1, "with its newline"
    assert decode(longest).encode() == longest
    with pytest.raises(MalformedMessage, match="no line of JSON in its first 1,048,576 bytes"):
        decode(longest[:-2] + b" }\n")


FOREIGN_KEYS = ("people/01JF6Z6TX4W8E1V2M6C3N9Q7RB.json", "frames/line-1/x", "../people", "", "{own}/../x", "{own}/a/b")


@pytest.mark.parametrize("key", FOREIGN_KEYS)
@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("FrameCaptured", "image_key"),
        ("FrameDeferred", "image_key"),
        ("FrameInspected", "image_key"),
        ("ExplanationRequested", "verdict"),
        ("ImageDeferred", "key"),
        ("FrameExplained", "overlay_key"),
        ("FrameExplained", "heatmaps"),
    ],
)
def test_a_key_of_another_folder_than_the_frames_own_is_refused(kind: str, where: str, key: str) -> None:
    fields = json.loads((GOLDEN / f"{kind}.1.json").read_text())
    own = FrameIdentity.model_validate((fields["verdict"] if where == "verdict" else fields)["frame"]).storage_key
    forged = key.format(own=own)
    assert decode(body_of(fields))
    if where == "heatmaps":
        fields["heatmaps"] = {label: {**heatmap, "key": forged} for label, heatmap in fields["heatmaps"].items()}
    elif where == "verdict":
        fields["verdict"]["image_key"] = forged
    else:
        fields[where] = forged
    with pytest.raises(MalformedMessage, match="is not below"):
        decode(body_of(fields))


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1999-12-31T23:59:59Z", 1e18])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_times_beyond_their_bounds_are_refused(path: Path, moment: object) -> None:
    fields = json.loads(path.read_text())
    times = [name for name in fields if name == "at"]
    for name in times:
        with pytest.raises(MalformedMessage):
            decode(body_of({**fields, name: moment}))
    if "frame" in fields:
        with pytest.raises(MalformedMessage):
            decode(body_of({**fields, "frame": {**fields["frame"], "captured_at": moment}}))
    assert times or "frame" in fields


@pytest.mark.parametrize("number", [10**13 + 1, 10**400, -1, 1e308])
@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("CameraReported", "captured"),
        ("CameraReported", "dropped"),
        ("CameraReported", "unreadable"),
        ("CameraReported", "waiting"),
        ("CameraReported", "frames_per_second"),
        ("WorkerReported", "handled"),
        ("WorkerReported", "messages_per_second"),
        ("TrainingProgressed", "epoch"),
        ("FrameCaptured", "width"),
        ("FrameInspected", "latency_ms"),
    ],
)
def test_numbers_beyond_their_bounds_are_refused(kind: str, where: str, number: float) -> None:
    fields = json.loads((GOLDEN / f"{kind}.1.json").read_text())
    with pytest.raises(MalformedMessage):
        decode(body_of({**fields, where: number}))


@pytest.mark.parametrize("kind", [messages.FrameCaptured, messages.FrameInspected, messages.FrameDeferred])
def test_a_frame_of_a_check_is_in_no_message_about_production(kind: type[Message]) -> None:
    body, fields = golden(GOLDEN / f"{kind.__name__}.1.json")
    with pytest.raises(MalformedMessage, match="is of a check"):
        decode(body_of({**fields, "frame": {**fields["frame"], "check": "check-1"}, "image_key": None}))
    assert decode(body)


@pytest.mark.parametrize("kind", [messages.CheckFrame, messages.CheckFrameInspected])
def test_a_frame_of_production_is_in_no_message_of_a_check(kind: type[Message]) -> None:
    _, fields = golden(GOLDEN / f"{kind.__name__}.1.json")
    with pytest.raises(MalformedMessage, match="is of no check"):
        decode(body_of({**fields, "frame": {**fields["frame"], "check": None}, "image_key": None}))


def test_the_image_of_a_check_is_in_the_challenge_set_of_its_line() -> None:
    frame = identity(check="check-1")
    assert frame.owns("challenges/line-1/0f.png")
    assert not frame.owns("challenges/line-2/0f.png")
    assert not frame.owns("challenges/line-1/parts/hole.json")
    assert not identity().owns("challenges/line-1/0f.png")
