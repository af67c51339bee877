"""The video that the demo plays by default: drawn seams; it is drawn once and stored."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.progress import track

from samples.seam_video import SeamVideo
from samples.swatch import swatches
from samples.video import VideoFiles, write_video

SEED: Final = 20
FRAMES: Final = 1500
"""One minute at 25 frames per second; the demo plays it again and again."""
SIZE: Final = 224
FPS: Final = 25
DEFECT_RATE: Final = 0.05
FIRST_UNSEEN_CLOTH: Final = 0
"""The sample model learned from swatches with other numbers (`make sample-model`), so these are new to it."""
CLOTHS: Final = 40


def seam_video(folder: Path) -> Path:
    """Return the video's path; draw the video, with a progress bar, if it does not exist."""
    path = folder / f"seams-{SEED}-{FRAMES}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        video = SeamVideo(SEED, FRAMES, SIZE, DEFECT_RATE, "mixed", swatches(FIRST_UNSEEN_CLOTH, CLOTHS, None))
        unfinished = path.with_name(f"unfinished-{path.name}")
        write_video(track(video, "Drawing a video of seams", total=FRAMES), VideoFiles(unfinished), SIZE, FPS)
        for made in folder.glob("unfinished-*"):
            made.rename(made.with_name(made.name.removeprefix("unfinished-")))
    return path
