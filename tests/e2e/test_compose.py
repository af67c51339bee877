"""The images and docker-compose.yml as shipped: a thousand frames through three workers, one of them killed."""

from typing import Final

import cv2
import numpy as np
import pytest

from tests.e2e.composed import FLOW, LINE, SERVERS, ComposedLine, wait_for
from tests.e2e.conftest import FRAMES, Inspected

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PNG: Final = b"\x89PNG\r\n\x1a\n"
INPUT: Final = 224
"""Height and width of the input of the sample model's network, in pixels."""


def test_every_container_becomes_healthy(line: ComposedLine) -> None:
    expected = sorted([*SERVERS, *FLOW[1:], "inference", "inference"])

    def are_healthy() -> bool:
        healthy = [container.Service for container in line.containers() if container.Health == "healthy"]
        return sorted(map(str, healthy)) == expected

    wait_for(are_healthy, 120, f"{expected} to be healthy")


def test_a_thousand_frames_are_accounted_for(inspected: Inspected) -> None:
    counts = inspected.accounting
    assert counts["captured"] == FRAMES == counts["inspected"] + counts["dropped"] + counts["parked"]
    assert (counts["dropped"], counts["parked"], counts["error"], counts["in_flight"]) == (0, 0, 0, 0)


def test_every_flagged_frame_is_explained(inspected: Inspected) -> None:
    assert inspected.accounting["explained"] == inspected.accounting["flagged"] > 0


def test_three_workers_share_the_frames_and_one_was_killed_in_the_middle(inspected: Inspected) -> None:
    assert len(inspected.handled) == 3
    assert all(inspected.handled.values())
    assert 0 < inspected.inspected_at_kill < FRAMES


def test_overlays_are_images_of_the_size_of_the_frame_and_heatmaps_of_the_networks_input(
    line: ComposedLine, inspected: Inspected
) -> None:
    with line.api() as api:
        page = line.read(api, "/api/frames", line=LINE, flagged=True, limit=5).json()
        assert page["frames"]
        for frame in page["frames"]:
            image = _decoded(line.read(api, frame["image_url"]).content)
            assert frame["heatmaps"]
            for heatmap in frame["heatmaps"].values():
                content = line.read(api, heatmap["url"]).content
                assert content.startswith(PNG)
                assert _decoded(content).shape[:2] == tuple(min(INPUT, side) for side in image.shape[:2])
            assert _decoded(line.read(api, frame["overlay_url"]).content).shape == image.shape


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("camera", "CAMERA_BROKER_PASSWORD"),
        ("inference", "INFERENCE_STORAGE_SECRET_KEY"),
        ("dashboard", "DASHBOARD_REDIS_PASSWORD"),
    ],
)
def test_a_wrong_password_is_refused_with_one_line(line: ComposedLine, service: str, variable: str) -> None:
    refused = line.run("run", "--rm", "--no-deps", "--no-TTY", "--env", f"{variable}=wrong-password", service)
    assert refused.returncode == 2
    said = [text for text in refused.stderr.splitlines() if text.strip() and "Container" not in text]
    assert len(said) == 1, refused.stderr
    assert "wrong-password" not in refused.stdout + refused.stderr


def test_a_camera_is_given_users_of_its_own_and_loses_them_again(line: ComposedLine) -> None:
    printed = line.camera_users("add", "line-2", "camera-2")
    settings = dict(text.split("=", 1) for text in printed.splitlines() if not text.startswith("#"))
    login = ("rabbitmqctl", "authenticate_user", settings["CAMERA_BROKER_USER"], settings["CAMERA_BROKER_PASSWORD"])
    assert settings["CAMERA_BROKER_USER"] == "camera.line-2.camera-2"
    assert "Success" in line.must("exec", "--no-TTY", "rabbitmq", *login)
    line.camera_users("remove", "line-2", "camera-2")
    assert line.run("exec", "--no-TTY", "rabbitmq", *login).returncode != 0


def test_a_stranger_without_the_password_sees_nothing(line: ComposedLine) -> None:
    with line.stranger() as api:
        assert api.get("/api/lines").status_code == 401
        assert api.post("/api/session", json={"name": "admin", "password": "guessed"}).status_code == 401
        assert api.get("/api/lines", headers={"Authorization": "Bearer guessed"}).status_code == 401


def test_every_service_stops_cleanly_on_sigterm(line: ComposedLine, inspected: Inspected) -> None:
    line.must("stop", *reversed(FLOW))
    codes = {(str(container.ID), container.Service): container.ExitCode for container in line.containers()}
    assert {
        code for (identity, service), code in codes.items() if service in FLOW and identity != inspected.killed
    } == {0}


def _decoded(content: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image
