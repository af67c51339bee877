"""The five services: camera, inference, explainer, trainer, dashboard."""

import shared  # noqa: F401  it bounds OpenCV, so before anything imports that
