"""Deploy Seamline on one machine, with Docker Compose, or on Kubernetes."""

import shared  # noqa: F401  it bounds OpenCV, so before anything imports that
