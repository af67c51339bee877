"""Read the checkpoint of a training."""

import io

import numpy as np
import pytest

from services.trainer.training.checkpoint import Checkpoint, CheckpointError, decode_checkpoint


def arrays(**named: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **named)
    return content.getvalue()


def one_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


WHOLE = Checkpoint(digest="seams", epoch=2, best_epoch=1, best_score=(0.5, -1.0), network=[np.arange(2000.0)]).encode()


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    again = decode_checkpoint(WHOLE)
    assert (again.digest, again.epoch, again.best_score) == ("seams", 2, (0.5, -1.0))
    assert np.array_equal(again.network[0], np.arange(2000.0))


@pytest.mark.parametrize(
    "content",
    [
        b"weights",
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:-1],
        WHOLE.replace(np.float64(7).tobytes(), np.float64(8).tobytes(), 1),
        one_array(),
        arrays(weights=np.zeros(3)),
        arrays(state=np.array("[]")),
        arrays(state=np.array('{"best_score": 1}')),
        arrays(state=np.array('{"best_score": [1, 2], "colour": "red"}')),
    ],
    ids=["text", "half", "all but a byte", "changed", "one array", "others", "list", "score", "state"],
)
def test_an_invalid_checkpoint_is_reported_with_a_remedy(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"^not a checkpoint, or one that was cut off: delete it, or"):
        decode_checkpoint(content)
