"""How Seamline is put to work: one machine, compose, Kubernetes."""

import shared  # noqa: F401  it bounds OpenCV, so before anything imports that
