"""The six services: camera, inference, explainer, trainer, gateway, dashboard."""

import shared  # noqa: F401  it bounds OpenCV, so before anything imports that
