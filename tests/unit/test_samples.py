"""Drawn seams: repeatable by seed, and their truth agrees with what is drawn."""

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from samples import LABELS, Frame, SeamVideo, draw_seam, swatch, swatches
from samples.__main__ import app
from samples.damage import DAMAGES, SewnCloth, damage
from samples.defect import (
    CLOTH_DEFECTS,
    DEFECT_KINDS,
    ClothDefectKind,
    DefectKind,
    PlannedDefect,
    label_of,
    sew_loose_end,
)
from samples.images import ImageSet, write_images, write_tables
from samples.photograph import BRIGHTEST, photograph
from samples.raster import Image, Raster
from samples.seam import sew
from samples.still import VARIED_ZOOM
from samples.video import VideoFiles, write_video


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


def digest(frames: Iterable[Frame]) -> str:
    """Of every pixel and every label."""
    total = hashlib.sha256()
    for image, truth in frames:
        total.update(image.tobytes())
        total.update(repr((truth.labels, truth.part, truth.cloth, truth.thread)).encode())
    return total.hexdigest()


@pytest.fixture(scope="module")
def video() -> list[Frame]:
    return list(SeamVideo(seed=3, frames=400, size=64, defect_rate=0.3))


def test_the_same_seed_videos_the_same_pixels_and_labels() -> None:
    video = SeamVideo(seed=5, frames=40, size=96, defect_rate=0.5)
    assert digest(video) == digest(video)
    assert digest(video) == digest(SeamVideo(seed=5, frames=40, size=96, defect_rate=0.5))


def test_another_seed_videos_another_seam() -> None:
    assert digest(SeamVideo(seed=5, frames=10, size=64)) != digest(SeamVideo(seed=6, frames=10, size=64))


def test_a_frame_is_a_colour_image_of_the_size_asked_for(video: list[Frame]) -> None:
    assert {(frame.image.shape, frame.image.dtype) for frame in video} == {((64, 64, 3), np.dtype(np.uint8))}


def test_good_is_neither_error_nor_break(video: list[Frame]) -> None:
    for _, truth in video:
        assert tuple(truth.labels) == LABELS
        assert truth.labels["good"] == (not truth.labels["error"] and not truth.labels["break"])


def test_each_true_label_of_a_defect_has_a_mask_and_no_other_has(video: list[Frame]) -> None:
    for image, truth in video:
        assert set(truth.masks) == {label for label in ("error", "break") if truth.labels[label]}
        for mask in truth.masks.values():
            assert mask.shape == image.shape[:2]
            assert set(np.unique(mask)) == {0, 255}


def test_a_video_has_about_the_share_of_defects_asked_for(video: list[Frame]) -> None:
    defective = sum(not frame.truth.labels["good"] for frame in video)
    assert 0.2 < defective / len(video) < 0.4


def test_a_video_without_defects_is_good() -> None:
    assert all(frame.truth.labels["good"] for frame in SeamVideo(frames=80, size=64, defect_rate=0))


def test_a_video_shows_every_label_and_some_at_once(video: list[Frame]) -> None:
    seen = [frame.truth.labels for frame in video]
    for label in LABELS:
        assert {labels[label] for labels in seen} == {True, False}
    assert any(labels["error"] and labels["break"] for labels in seen)


def test_a_part_keeps_its_cloth_and_thread_and_stitch(video: list[Frame]) -> None:
    made = {(frame.truth.part, frame.truth.swatch, frame.truth.labels["length"]) for frame in video}
    assert len(made) == len({part for part, _, _ in made}) == video[-1].truth.part


def test_a_video_keeps_to_the_stitch_asked_for() -> None:
    assert all(frame.truth.labels["length"] for frame in SeamVideo(frames=70, size=64, stitch="2mm"))


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_a_defect_asked_for_is_in_the_image(kind: DefectKind) -> None:
    truth = draw_seam(11, cloth=swatch(4), defects={kind}, size=96).truth
    assert set(truth.masks) == {label_of(kind)}


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_a_varied_defect_is_labelled_and_the_same_seed_draws_the_same_pixels(kind: DefectKind) -> None:
    first, again = (draw_seam(12, cloth=swatch(5), defects={kind}, size=96, varied=True) for _ in range(2))
    assert set(first.truth.masks) == {label_of(kind)}
    assert first.truth.labels[label_of(kind)]
    assert not first.truth.labels["good"]
    assert digest([first]) == digest([again])


def plain_cloth(brightness: int) -> SewnCloth:
    raster = Raster(47.0, 47.0, 5.0)
    holes = np.stack([np.arange(0, 50, 4), np.full(13, 23.0)], axis=1).astype(np.float32)
    return SewnCloth(np.full((*raster.shape, 3), brightness, dtype=np.uint8), raster, holes)


@pytest.mark.parametrize("brightness", [40, 120, 210])
@pytest.mark.parametrize("kind", CLOTH_DEFECTS)
def test_damage_of_the_cloth_is_visible_inside_its_mask_and_faint_outside(
    kind: ClothDefectKind, brightness: int
) -> None:
    sewn = plain_cloth(brightness)
    for seed in range(12):
        damaged = damage(kind, sewn, 15.0, np.random.default_rng(seed))
        change = np.abs(damaged.image.astype(float) - brightness).max(axis=2)
        inside = damaged.mask > 0
        assert 0.002 < inside.mean() < 0.7
        strongest = np.percentile(change[inside], 95)
        assert strongest > 0.1 * brightness
        assert change[~inside].max() < 0.5 * change.max()


@pytest.mark.parametrize("kind", ["pinch", "pucker"])
def test_a_fold_meets_the_seam(kind: ClothDefectKind) -> None:
    sewn = plain_cloth(120)
    row = round(23.0 * sewn.raster.pixels_per_mm)
    for seed in range(12):
        assert damage(kind, sewn, 15.0, np.random.default_rng(seed)).mask[row - 8 : row + 8].any()


def test_each_kind_of_damage_of_the_cloth_can_be_drawn() -> None:
    assert tuple(DAMAGES) == CLOTH_DEFECTS


def test_a_varied_set_is_the_same_for_the_same_seed_and_not_the_set_that_is_not_varied() -> None:
    def drawn(**options: bool) -> list[Frame]:
        images = ImageSet(8, 4, 64, 0.5, swatches(0, 8), **options)
        return [images.draw(number)[1] for number in range(8)]

    assert digest(drawn(varied=True)) == digest(drawn(varied=True)) != digest(drawn())


def test_a_video_has_no_damage_of_the_cloth(monkeypatch: pytest.MonkeyPatch) -> None:
    """The video of the demo keeps its pixels."""
    monkeypatch.setattr("samples.strip.damage", None)
    assert len(list(SeamVideo(seed=5, frames=80, size=64, defect_rate=0.8))) == 80


def test_a_varied_image_without_defects_is_good() -> None:
    assert all(draw_seam(seed, size=64, varied=True).truth.labels["good"] for seed in range(20))


def test_in_varied_images_a_long_stitch_is_longer_than_any_short_one() -> None:
    smallest, largest = VARIED_ZOOM
    assert 4 * smallest > 1.05 * 2 * largest


def test_a_photograph_of_a_camera_keeps_its_thread_visible_and_is_not_burnt_out(seam: Image) -> None:
    for seed in range(60):
        taken = photograph(seam, np.random.default_rng(seed))
        assert taken.shape == seam.shape
        assert 30 < taken.mean() < 215
        assert (taken.min(axis=2) > BRIGHTEST).mean() < 0.1
        rows = taken.astype(float).mean(axis=(1, 2))
        assert rows[108:116].mean() < 0.85 * rows[[90, 91, 132, 133]].mean(), seed


@pytest.fixture
def seam() -> Image:
    """Dark thread along the middle of bright cloth."""
    image = np.full((224, 224, 3), 170, dtype=np.uint8)
    image[108:116] = 50
    return image


def test_a_defect_changes_the_image_where_its_mask_is() -> None:
    """Drawn on smooth cloth, the gap shows the cloth's colour where the good seam shows its thread."""
    cut = draw_seam(2, cloth=swatch(4, "plain"), defects={"cut"})
    rows, columns = np.nonzero(cut.truth.masks["break"])
    inside = slice(columns.min() + 8, columns.max() - 8)
    band = cut.image[rows.min() : rows.max(), :].astype(float).std(axis=(0, 2))
    assert band[inside].mean() < np.delete(band, np.arange(columns.min(), columns.max())).mean()


def test_both_labels_can_be_drawn_at_once() -> None:
    labels = draw_seam(7, defects={"error", "break"}, size=96).truth.labels
    assert labels == {"good": False, "error": True, "break": True, "length": False}


def test_a_loose_end_hangs_off_the_seam_and_shows_its_gap() -> None:
    """One that lay along the seam would look like a loop, not like a break."""
    holes = np.stack([np.arange(0, 60, 4), np.zeros(15)], axis=1).astype(np.float32)
    for seed in range(60):
        damage = sew_loose_end(holes, np.random.default_rng(seed))
        tails = [path.points for path in damage.paths if path.dips[0]]
        assert tails
        assert all(abs(tail[-1, 1]) > 0.69 * np.abs(tail[:, 1]).max() for tail in tails)
        assert all(abs(tail[-1, 1]) > 1.19 for tail in tails)
        assert all((tail[:, 1] * np.sign(tail[-1, 1])).min() > -0.31 for tail in tails), "it crosses the seam"
        covered = sum(np.abs(reach_over_gap(tail, 4.0 * damage.stitches)).max() for tail in tails)
        assert 4.0 * damage.stitches - covered > 2.99


def reach_over_gap(tail: np.ndarray, gap_mm: float) -> np.ndarray:
    """How far each point of a loose end lies over the gap from 0 to `gap_mm`, from the side where it is sewn in."""
    along = tail[:, 0] if tail[0, 0] < gap_mm / 2 else gap_mm - tail[:, 0]
    return np.maximum(along, 0)


def test_thread_that_lies_crooked_is_not_cut_away_and_still_called_crooked() -> None:
    """The label of a defect of which nothing is seen would teach what is not there."""
    planned = (PlannedDefect("crooked", 20.0), PlannedDefect("cut", 21.0))
    for seed in range(40):
        seam = sew(
            style=swatch(seed).style,
            stitch_length_mm=4.0,
            length_mm=80.0,
            middle_mm=20.0,
            planned=planned,
            rng=np.random.default_rng(seed),
        )
        sewn = {id(path) for path in seam.stitches}
        assert all(id(path) in sewn for defect in seam.defects if defect.kind == "crooked" for path in defect.paths)


def test_on_denim_a_thread_differs_from_the_warp_between_two_stitches() -> None:
    for sewn in swatches(0, 200, kind="denim"):
        assert np.linalg.norm(np.subtract(sewn.thread.colour, sewn.cloth.colour)) > 80, sewn.name


def test_a_swatch_is_the_same_in_every_run_and_others_differ() -> None:
    assert swatch(12) == swatch(12)
    assert len({(made.cloth, made.thread) for made in swatches(0, 60)}) == 60


def test_a_video_has_a_row_for_each_frame_and_masks_for_the_defective_ones(tmp_path: Path) -> None:
    video = SeamVideo(seed=1, frames=60, size=96, defect_rate=0.6)
    files = VideoFiles(tmp_path / "line.mp4")
    write_video(video, files, video.size, fps=25)
    rows = rows_of(files.table)
    assert list(rows[0]) == ["name", *LABELS, "frame", "part", "cloth", "thread"]
    assert rows[59]["name"] == "line_000059.png"
    expected = {f"{int(row['frame']):06d}_{label}.png" for row in rows for label in LABELS[1:3] if row[label] == "True"}
    assert {path.name for path in files.masks.iterdir()} == expected != set()
    assert frames_in(files.video) == len(rows) == 60


@pytest.mark.parametrize(("name", "size"), [("line.mp4", "65"), ("line.abc", "64")])
def test_a_video_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path, name: str, size: str) -> None:
    assert CliRunner().invoke(app, ["video", str(tmp_path / name), "--size", size]).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def frames_in(video: Path) -> int:
    reader = cv2.VideoCapture(str(video))
    count = 0
    while reader.read()[0]:
        count += 1
    return count


def test_images_come_with_labels_and_groups_and_masks(tmp_path: Path) -> None:
    write_tables(write_images(ImageSet(24, 0, 64, 0.5, swatches(0, 5)), tmp_path), tmp_path)
    labels, groups = rows_of(tmp_path / "labels.csv"), rows_of(tmp_path / "groups.csv")
    assert list(labels[0]) == ["name", *LABELS]
    assert list(groups[0]) == ["name", "group", "cloth", "thread"]
    names = [row["name"] for row in labels]
    assert names == [row["name"] for row in groups] == sorted(path.name for path in (tmp_path / "images").iterdir())
    defective = {row["name"] for row in labels if row["good"] == "False"}
    assert {path.name for path in (tmp_path / "masks").iterdir()} == defective != set()
    assert {row[label] for row in labels for label in LABELS} == {"True", "False"}


def test_sets_of_other_swatches_share_no_group() -> None:
    train, test = (ImageSet(8, 0, 64, 0.5, swatches(first, 4)) for first in (0, 4))
    names = [{drawn.draw(number)[1].truth.swatch.name for number in range(8)} for drawn in (train, test)]
    assert len(names[0]) == len(names[1]) == 4
    assert not names[0] & names[1]


def test_images_are_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    """Of as many processes as there are cores, or of one."""
    for name, processes in (("alone", "1"), ("together", "2")):
        options = ["--count", "40", "--size", "64", "--processes", processes]
        assert CliRunner().invoke(app, ["images", str(tmp_path / name), *options]).exit_code == 0
    alone, together = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("alone", "together")
    )
    assert alone == together
    assert len(alone) > 80


def test_the_commands_write_the_same_tables_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("first", "second"):
        options = ["--frames", "30", "--size", "64", "--seed", "9", "--defect-rate", "0.5"]
        assert CliRunner().invoke(app, ["video", str(tmp_path / name / "line.mp4"), *options]).exit_code == 0
    assert (tmp_path / "first" / "line.csv").read_text() == (tmp_path / "second" / "line.csv").read_text()


def test_the_command_draws_varied_images(tmp_path: Path) -> None:
    for name, options in (("plain", []), ("varied", ["--varied"])):
        command = ["images", str(tmp_path / name), "--count", "4", "--size", "64", "--processes", "1", *options]
        assert CliRunner().invoke(app, command).exit_code == 0
    plain, varied = (
        [path.read_bytes() for path in sorted((tmp_path / name / "images").iterdir())] for name in ("plain", "varied")
    )
    assert len(plain) == len(varied) == 4
    assert not set(plain) & set(varied)


def test_a_varied_sheet_shows_every_kind(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["sheet", str(tmp_path / "s.png"), "--size", "64", "--varied"]).exit_code == 0
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet is not None
    assert sheet.shape == (4 * 68, len(DEFECT_KINDS) * 68, 3)


def test_the_sheet_is_an_image(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["sheet", str(tmp_path / "sheet.png"), "--size", "64"]).exit_code == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (4 * 68, 7 * 68, 3)
