"""Write tensors_zip.pt and tensors_legacy.pt, the same tensors in both forms that PyTorch ever wrote.

As efficientnet_lite0.py, it is run in an environment of its own, with PyTorch 2.13.0.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch


def main() -> None:
    """Write both files."""
    numbers = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = OrderedDict(
        {
            "whole": numbers,
            "turned": numbers.permute(2, 0, 1),
            "part": numbers[1, :, 1:3],
            "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
            "count": torch.tensor(7),
            "empty": torch.zeros(0, 3),
        }
    )
    for name, as_zip in (("zip", True), ("legacy", False)):
        torch.save(tensors, Path(__file__).with_name(f"tensors_{name}.pt"), _use_new_zipfile_serialization=as_zip)


if __name__ == "__main__":
    main()
