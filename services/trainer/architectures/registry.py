"""Name the networks that can be trained. Each gives logits; `shared.verdict.scores_of` turns them into scores."""

from __future__ import annotations

from functools import partial
from typing import Final

from services.trainer.architectures.applications import (
    APPLICATIONS,
    build_application,
    load_application,
    smallest_of,
)
from services.trainer.architectures.architecture import Architecture, UnfitArchitecture
from services.trainer.architectures.compact import build_compact
from services.trainer.architectures.efficientnet_lite import build_efficientnet_lite0, load_efficientnet_lite0
from services.trainer.architectures.fruit_convnet import build_fruit_convnet
from services.trainer.architectures.lite0_depths import build_lite0_depths
from services.trainer.architectures.lite0_texture import build_lite0_texture, load_lite0_texture
from services.trainer.architectures.seam_resnet import build_seam_resnet
from shared.contracts.training import ARCHITECTURES as SENTENCES

FEATURES: Final = "features"
"""Name of the last convolutional layer of every architecture here, of which heatmaps are made."""

TUNING_RATE: Final = 1e-4

ARCHITECTURES: Final = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "lite0-depths",
            SENTENCES["lite0-depths"],
            build_lite0_depths,
            32,
            1e-3,
            1e-4,
            tuning_rate=TUNING_RATE,
            loader=load_efficientnet_lite0,
            takes_reference=True,
        ),
        Architecture(
            "efficientnet-lite0",
            SENTENCES["efficientnet-lite0"],
            build_efficientnet_lite0,
            32,
            1e-3,
            1e-4,
            tuning_rate=TUNING_RATE,
            loader=load_efficientnet_lite0,
        ),
        Architecture(
            "lite0-texture",
            SENTENCES["lite0-texture"],
            build_lite0_texture,
            32,
            7e-4,
            1e-3,
            loader=load_lite0_texture,
        ),
        Architecture(
            "compact",
            "a small residual network, trained from random weights",
            build_compact,
            16,
            2e-3,
            1e-3,
            fast_in_bfloat16=True,
        ),
        Architecture(
            "seam-resnet",
            "the network of the first seam inspection",
            build_seam_resnet,
            16,
            1e-3,
            0.0,
            fast_in_bfloat16=True,
        ),
        Architecture("fruit-convnet", SENTENCES["fruit-convnet"], build_fruit_convnet, 32, 1e-3, 0.0),
    )
}


def architecture_of(name: str) -> Architecture:
    """Return an architecture by its name.

    Raises:
        UnfitArchitecture: there is no such architecture.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if name in APPLICATIONS:
        return Architecture(
            name,
            f"{name} of keras.applications, with the weights of a given file",
            partial(build_application, name),
            smallest_of(name),
            1e-3,
            1e-4,
            tuning_rate=TUNING_RATE,
            loader=partial(load_application, name),
        )
    raise UnfitArchitecture(
        f"there is no architecture {name!r}: use {', '.join(ARCHITECTURES)}, or a network of keras.applications "
        "such as MobileNetV3Small"
    )
