"""The fixtures of the camera's tests with everything in its place."""

from tests.integration.camera.conftest import start_camera

__all__ = ["start_camera"]
