"""The video that the demo plays when it is given no other: drawn seams, made once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.progress import track

from samples.seam_video import SeamVideo
from samples.swatch import swatches
from samples.video import VideoFiles, write_video

SEED: Final = 20
FRAMES: Final = 1500
"""One minute at 25 frames per second; longer lines play it again."""
SIZE: Final = 224
FPS: Final = 25
DEFECT_RATE: Final = 0.05
FIRST_UNSEEN_CLOTH: Final = 0
"""The sample model learned from other pages of the swatch book (`make sample-model`), so this cloth is new to it."""
CLOTHS: Final = 40


def seam_video(folder: Path) -> Path:
    """The video's path; draws it, with a progress bar, if it is not there."""
    path = folder / f"seams-{SEED}-{FRAMES}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        video = SeamVideo(SEED, FRAMES, SIZE, DEFECT_RATE, "mixed", swatches(FIRST_UNSEEN_CLOTH, CLOTHS, None))
        unfinished = path.with_name(f"unfinished-{path.name}")
        write_video(track(video, "Drawing a video of seams", total=FRAMES), VideoFiles(unfinished), SIZE, FPS)
        for made in folder.glob("unfinished-*"):
            made.rename(made.with_name(made.name.removeprefix("unfinished-")))
    return path
