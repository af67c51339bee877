"""The commands, in a process of their own where the exit code and the error are what is promised."""

import subprocess
import sys
from errno import ENOSPC
from inspect import signature
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.trainer.cli.commands import app, train, training_module
from services.trainer.cli.errors import report_errors
from services.trainer.promotion.promotions import Promotions
from shared.contracts.bundle import MANIFEST, RECIPE, read_bundle_folder, write_bundle, write_bundle_folder
from shared.contracts.training import TrainingOptions
from shared.recipe import Task
from shared.storage.filesystem import FilesystemStore
from tests.strokes import STROKES
from tests.unit.trainer.promotion.test_promotions import proven
from tests.unit.trainer.requests import promotion


def complaint(*words: str | Path) -> str:
    """What a command that must refuse says."""
    command = [sys.executable, "-m", "services.trainer", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_wrong_images_are_reported_in_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("name,good\n9.png,True\n0.png,perhaps\n")
    said = complaint("train", "--data", tmp_path, "--out", tmp_path / "model").splitlines()
    assert [line.split(":")[0] for line in said] == ["labels.csv, line 2", "labels.csv, line 3"]
    assert not (tmp_path / "model").exists()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Runs a command in this process, on storage of the test's own."""
    monkeypatch.setenv("TRAINER_STORAGE_URL", f"file:///{tmp_path}/objects")
    monkeypatch.setenv("TRAINER_BROKER_URL", f"sqlite:///{tmp_path}/broker")
    return CliRunner()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("train", "--data", "nowhere", "--out", "out"), "nowhere: no such folder"),
        (("train", "--data", ".", "--out", "out", "--recipe", "absent.yaml"), "absent.yaml: can't be read"),
        (("train", "--data", ".", "--out", "out", "--split", "1,2"), "split is three shares"),
        (("train", "--data", ".", "--out", "out", "--split", "0.5,0.2,0.2"), "make 1 together"),
        (("train", "--data", ".", "--out", "out", "--split", "nan,nan,nan"), "finite number"),
        (("train", "--data", ".", "--out", "out", "--learning-rate", "inf"), "finite number"),
        (("train", "--data", ".", "--out", "out", "--weight-decay", "-1"), "option weight_decay"),
        (("train", "--data", ".", "--out", "out", "--seed", f"{2**32}"), "4294967295"),
        (("train", "--data", ".", "--out", ".", "--recipe", "strokes.yaml", "--architecture", "alexnet"), "alexnet"),
        (("train", "--data", ".", "--out", "out", "--recipe", "strokes.yaml", "--checkpoint", "a b"), "'a b' is no"),
        (("train", "--data", ".", "--out", "out", "--recipe", "strokes.yaml", "--checkpoint", "."), "directory"),
        (
            ("train", "--data", ".", "--out", "out", "--recipe", "strokes.yaml", "--checkpoint", "strokes.yaml/a"),
            "strokes.yaml can't be written into (Not a directory)",
        ),
        (("train", "--data", ".", "--out", "out", "--model-version", "my model"), "not 'my model'"),
        (("train", "--data", ".", "--out", "out", "--model-version", "production"), "not 'production'"),
        (
            ("train", "--data", ".", "--out", "strokes.yaml", "--recipe", "strokes.yaml"),
            "written into (Not a directory)",
        ),
        (("evaluate", "--model", "nowhere", "--data", "."), "nowhere is no model"),
        (("evaluate", "--model", "nowhere", "--data", ".", "--report", "strokes.yaml/a.json"), "choose another folder"),
        (("evaluate", "--model", "nowhere", "--data", ".", "--html", "strokes.yaml/a.html"), "choose another folder"),
        (("describe", "alexnet"), "there is no architecture 'alexnet'"),
        (("export", "seam", "v1", "--out", "out"), "models/seam/v1"),
        (("promote", "seam", "bad!version"), "model_version is at most 64 letters, digits, _ and -, "),
        (("promote", "se/am", "v1"), "recipe is at most 64 letters, digits, _ and -, "),
        (("thresholds", "se/am", "v1", "--set", "break=0.3"), "and not 'se/am'"),
        (("thresholds", "seam", "bad!version", "--set", "break=0.3"), "and not 'bad!version'"),
        (("thresholds", "seam", "v1"), "give either --set or --operating-point"),
        (("thresholds", "seam", "v1", "--operating-point", "balanced"), "recipe 'seam' has no model v1"),
        (("thresholds", "seam", "v1", "--set", "break"), "a threshold is LABEL=NUMBER between 0 and 1, and not break"),
    ],
)
def test_wrong_input_is_refused_with_what_is_wrong(
    command: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("strokes.yaml").write_text(STROKES)
    result = command.invoke(app, words)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_every_option_of_a_training_is_on_the_command_line() -> None:
    assert {*TrainingOptions.model_fields} - {"shares"} < {*signature(train).parameters}


def test_an_unreadable_file_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, report_errors():
        (tmp_path / "absent").read_bytes()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path}/absent can't be read or written: No such file")
    with pytest.raises(SystemExit), report_errors():
        raise OSError(ENOSPC, "No space left on device")
    assert capsys.readouterr().err == "No space left on device; correct this, and try again\n"


def test_a_recipe_is_drafted_from_the_valid_rows(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"no image")
    (tmp_path / "labels.csv").write_text("name,good,stain\n9.png,True,False\n0.png,False,perhaps\n0.png,True,False\n")
    _, drafted = training_module().read_images(tmp_path, None, Task.MULTI_LABEL, None, skip_problems=True)
    assert drafted.label_names == ("good", "stain")


def test_a_model_is_not_overwritten(command: CliRunner, tmp_path: Path) -> None:
    write_bundle_folder(tmp_path, proven("v1"))
    result = command.invoke(app, ["train", "--data", "anything", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "holds a model already" in result.stderr


def test_an_architecture_is_described_with_its_cost(command: CliRunner) -> None:
    result = command.invoke(app, ["describe", "seam-resnet"])
    assert "seam-resnet at 100x100x3 with 4 labels: 3,409,552 parameters, 5.59 GMAC" in " ".join(result.stdout.split())


def test_models_are_brought_in_listed_and_taken_out(command: CliRunner, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write_bundle_folder(tmp_path / version, proven(version))
        assert command.invoke(app, ["import", "--model", str(tmp_path / version)]).exit_code == 0
    store = FilesystemStore(tmp_path / "objects")
    Promotions(store).decide(promotion("v1"))
    assert command.invoke(app, ["models", "paint"]).stdout == "v1  in production\nv2\n"
    assert command.invoke(app, ["export", "paint", "v2", "--out", str(tmp_path / "copy")]).exit_code == 0
    copied, original = ({path.name for path in (tmp_path / name).iterdir()} for name in ("copy", "v2"))
    assert copied == original


def test_a_model_is_taken_out_again_but_not_over_another_or_beside_what_is_not_of_it(
    command: CliRunner, tmp_path: Path
) -> None:
    store, copy = FilesystemStore(tmp_path / "objects"), tmp_path / "copy"
    for version in ("v1", "v2"):
        bundle = proven(version)
        write_bundle(store, bundle.manifest, bundle.files)
    words = ["export", "paint", "--out", str(copy)]
    assert command.invoke(app, [*words, "v1"]).exit_code == 0
    (copy / RECIPE).unlink()
    assert command.invoke(app, [*words, "v1"]).exit_code == 0, "the same again, whole"
    assert read_bundle_folder(copy).version == "v1"
    assert command.invoke(app, [*words, "v2"]).stderr == (
        f"{copy} holds another model, and models are not changed: choose another folder\n"
    )
    (copy / MANIFEST).unlink()
    (copy / "openvino_int8.bin").touch()
    refused = command.invoke(app, [*words, "v2"])
    assert refused.exit_code == 2
    assert refused.stderr == (
        f"{copy} holds files that are not of model v2 (openvino_int8.bin): choose another folder\n"
    )


def test_a_promotion_without_a_trainer_is_asked_for_and_says_so(command: CliRunner) -> None:
    thresholds = ["thresholds", "paint", "v1", "--set", "break=0.4"]
    for words in (["promote", "paint", "v1"], thresholds):
        result = command.invoke(app, [*words, "--wait-seconds", "0"])
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr.startswith("requested; the trainer has not answered yet")
