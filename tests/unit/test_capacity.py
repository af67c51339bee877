"""What a plant needs: computed from its frames, and as the documentation shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.capacity import Costs, Plant, estimate, growth_by_cameras, growth_by_workers, main, table

PLANT = Plant(lines=10, cameras=1, fps=25, width=640, height=480)
COSTS = Costs()
PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def needs(plant: Plant, costs: Costs = COSTS) -> dict[str, str]:
    return {need.what: need.amount for need in estimate(plant, costs)}


def test_the_workers_follow_the_frames_and_the_network() -> None:
    assert needs(PLANT)["frames per second"] == "250"
    assert needs(PLANT, Costs(network_ms=7.0, utilisation=0.7))["inference workers"] == "3"
    assert needs(PLANT, Costs(network_ms=13.9, utilisation=0.7))["inference workers"] == "5"
    assert needs(replace(PLANT, lines=20), Costs(network_ms=6.9, utilisation=0.7))["inference workers"] == "5"


def test_large_images_need_workers_for_their_preparation() -> None:
    large = replace(PLANT, width=2500, height=2000)
    assert needs(large, Costs(prepare_ms_per_megapixel=10, utilisation=1.0))["inference workers"] == "13"


def test_disks_outlive_the_longest_outage() -> None:
    hour, shift = needs(PLANT), needs(replace(PLANT, outage_hours=8))
    assert hour["frames in an outbox"] == "90,000"
    assert shift["frames in an outbox"] == "720,000"
    assert hour["object storage per day"] == shift["object storage per day"]


def test_the_command_prints_the_table_of_the_documentation() -> None:
    app = typer.Typer()
    app.command()(main)
    printed = CliRunner().invoke(app, ["--lines", "10", "--fps", "25", "--width", "640", "--height", "480"])
    assert printed.output.strip() == table(estimate(PLANT, COSTS))
    assert printed.output.strip() in PAGE.read_text(encoding="utf-8")


def test_the_documentation_shows_how_the_cost_grows_with_workers_and_cameras() -> None:
    app = typer.Typer()
    app.command()(main)
    line = Plant(lines=1, cameras=1, fps=25, width=480, height=480)
    printed = CliRunner().invoke(app, ["--growth", "--width", "480", "--height", "480"]).output
    page = PAGE.read_text(encoding="utf-8")
    for grown in (growth_by_workers(line, COSTS), growth_by_cameras(line, COSTS)):
        assert grown in printed
        assert grown in page


@pytest.mark.parametrize("option", ["--lines=0", "--fps=0", "--hours=25", "--flagged=2"])
def test_the_command_refuses_what_no_plant_has(option: str) -> None:
    app = typer.Typer()
    app.command()(main)
    refused = CliRunner().invoke(app, [option])
    assert refused.exit_code == 2
    assert "Invalid value" in refused.output
