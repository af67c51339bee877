"""The size of the network's images is chosen by the images of a dataset."""

from pathlib import Path

import numpy as np

from services.trainer.datasets.image_side import side_of
from shared.datasets.labelled_images import Dataset, Example
from shared.datasets.tables import Place
from shared.imaging.codec import encode


def test_images_that_cant_be_read_have_no_say_in_the_side(tmp_path: Path) -> None:
    contents = [b"no image", encode(np.zeros((64, 99, 3), np.uint8), "png"), b""]
    examples = []
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.png").write_bytes(content)
        examples.append(Example(f"{number}.png", tmp_path / f"{number}.png", (True,), "a", Place("labels.csv", number)))
    assert side_of(Dataset(("good",), tuple(examples))) == 128
    assert 32 <= side_of(Dataset(("good",), tuple(examples[:1]))) <= 320
