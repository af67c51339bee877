"""Write the data of a small line into `ARCHIVE`: ``python -m tests.upgrade.write``, at the first commit of a release.

The line runs as `make demo` does, with all its services, and ends; then frames wait in its queue and its outbox.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from services.camera.outbox import Outbox
from services.dashboard.access.audit import Audit
from services.dashboard.access.people import People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from shared.contracts.bundle import EVALUATION, write_bundle_folder
from shared.contracts.dataset import LabelledImage, next_version, put_image, write_version
from shared.imaging.codec import encode
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from tests.labelling import annotation
from tests.models import COLOURS, captured, pack, paint_bundle, painted
from tests.processes import free_port

ARCHIVE: Final = Path(__file__).with_name("line.zip")
SUMMARY: Final = "summary.json"
"""File of the archive: what the line said of its frames when it ended."""
FRAMES: Final = 12
WAITING: Final = 3
"""Frames that wait in the queue of inference, and as many in the outbox of a camera."""
OUTBOX: Final = Path("outbox", "line-1.camera-1.sqlite")
PASSWORD: Final = "umbrella copper thirty lanterns"
PROVEN: Final = {"images": 100, "largest_score_difference": 1e-6, "changed_verdicts": 0}
"""What a training says of a compiled network that gives the verdicts of the trained one."""
LEFT_OUT: Final = ("logs/", "objects/live/", "objects/gateways/active/", "parts/", "lines.yaml", "in-use")
NEEDLESS: Final = (".lock", ".reserve", ".turns", "-shm")


def write() -> None:
    """Write the archive."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        state = folder / "state"
        summary = play(folder)
        add_what_people_store(FilesystemStore(state / "objects"))
        add_waiting_frames(state)
        with zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(SUMMARY, json.dumps(summary, indent=1))
            for path in sorted(path for path in state.rglob("*") if path.is_file()):
                name = path.relative_to(state).as_posix()
                if not name.startswith(LEFT_OUT) and not name.endswith(NEEDLESS):
                    archive.write(path, name)


def play(folder: Path) -> dict[str, object]:
    """Play painted images through all services of a line with parts, and return the summary of the line."""
    bundle = paint_bundle("v1", keras=True)
    files = {**bundle.files, EVALUATION: json.dumps({"compiled": {"openvino_fp32": PROVEN}}).encode()}
    write_bundle_folder(folder / "model", pack(files, bundle.recipe, "v1", "features"))
    (folder / "images").mkdir()
    for number, colour in enumerate(COLOURS):
        (folder / "images" / f"{number}.png").write_bytes(encode(painted(colour), "png"))
    words = {"--state": "state", "--port": free_port(), "--frames": FRAMES, "--source": "images", "--model": "model"}
    command = [
        sys.executable,
        "-m",
        "deploy.embedded",
        "--parts",
        *(str(word) for pair in words.items() for word in pair),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "CAMERA_LINE": "line-1"}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    summary: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return summary


def add_what_people_store(store: FilesystemStore) -> None:
    """Store a person, an annotation and a dataset version."""
    People(PeopleRepository(store), Audit(store)).make_first(PASSWORD)
    annotations = AnnotationRepository(store)
    annotations.append(annotation("7"))
    annotations.close()
    image = LabelledImage(name="1.png", digest=put_image(store, b"an image"), labels=(True,), group="g")
    write_version(store, next_version(store, "paint", ("good",), [image], by="ann", source="test")[0])


def add_waiting_frames(state: Path) -> None:
    """Put frames into the queue of inference, and into the outbox of a camera."""
    frames = [captured(number, painted("black")) for number in range(2 * WAITING)]
    broker = SqliteBroker(state / "broker")
    publisher = broker.publisher()
    for frame in frames[:WAITING]:
        publisher.publish(frame).result(60)
    broker.close()
    with Outbox(state / OUTBOX, "01JD0000000000000000000000", frames_limit=100, bytes_limit=10**9) as outbox:
        for frame in frames[WAITING:]:
            outbox.add(frame)


if __name__ == "__main__":
    write()
