from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.camera.settings import CameraSettings, RegionOfInterest, Resolution
from shared.environment import read_settings
from shared.settings import ServiceSettings

README = Path(__file__).parents[3] / "services" / "camera" / "README.md"


def settings_of(monkeypatch: pytest.MonkeyPatch, **environment: str) -> CameraSettings:
    monkeypatch.setenv("CAMERA_SOURCE", "video.mp4")
    for name, value in environment.items():
        monkeypatch.setenv(f"CAMERA_{name}", value)
    return read_settings(CameraSettings)


def test_a_region_and_a_resolution_are_read_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, ROI="10, 20,640,480", RESOLUTION="1920x1080")
    assert settings.roi == RegionOfInterest(10, 20, 640, 480)
    assert settings.resolution == Resolution(1920, 1080)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, ROI="", BATCH="", FRAMES="", RECORD="")
    assert (settings.roi, settings.batch, settings.frames, settings.record) == (None, None, 0, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROI", "1,2,3"),
        ("ROI", "a,b,c,d"),
        ("ROI", "0,0,0,10"),
        ("ROI", "-1,0,10,10"),
        ("RESOLUTION", "big"),
        ("JPEG_QUALITY", "101"),
        ("PACE", "slow"),
        ("AT_END", "explode"),
        ("EVERY_NTH", "0"),
        ("MOST_PER_SECOND", "-1"),
        ("LINE", "a line"),
        ("PART", "p" * 33),
        ("OUTBOX_FRAMES", "0"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    with pytest.raises(SystemExit) as ending:
        settings_of(monkeypatch, **{name: value})
    said = capsys.readouterr().err
    assert ending.value.code == 2
    assert re.fullmatch(rf"CAMERA_{name}: [^\n]+\n", said), said


def test_without_a_source_it_says_which_variable_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CAMERA_SOURCE", raising=False)
    with pytest.raises(SystemExit):
        read_settings(CameraSettings)
    assert capsys.readouterr().err.startswith("CAMERA_SOURCE: ")


@pytest.mark.parametrize("written", ['"rtsp://camera/1"', "'rtsp://camera/1'", " rtsp://camera/1\n"])
def test_quotation_marks_and_space_around_a_source_are_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    assert settings_of(monkeypatch, SOURCE=written).source == "rtsp://camera/1"


def test_the_password_of_a_network_camera_is_in_no_print_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, SOURCE="rtsp://user:hunter2@camera/1")
    assert "hunter2" not in f"{settings!r} {settings}"


def test_the_readme_lists_every_setting_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `CAMERA_(\w+)` \| (.*?) \|", README.read_text(encoding="utf-8"), re.MULTILINE))
    own = {
        name.upper(): field
        for name, field in CameraSettings.model_fields.items()
        if name not in ServiceSettings.model_fields
    }
    assert sorted(listed) == sorted(own)
    for name, field in own.items():
        default = "" if field.default is None or field.is_required() else f"`{field.default}`"
        assert listed[name] == default, name
