"""PyTorch's files are read in both forms, and nothing that they say is run."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.trainer.architectures.torch_file import UnreadableTensors, read_tensors

GOLDEN = Path(__file__).parents[2] / "golden"
NUMBERS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_tensors_are_read_as_pytorch_wrote_them(form: str) -> None:
    tensors = read_tensors(GOLDEN / f"tensors_{form}.pt")
    assert list(tensors) == ["whole", "turned", "part", "half", "count", "empty"]
    assert np.array_equal(tensors["whole"], NUMBERS)
    assert np.array_equal(tensors["turned"], NUMBERS.transpose(2, 0, 1))
    assert np.array_equal(tensors["part"], NUMBERS[1, :, 1:3])
    assert tensors["half"].tolist() == [0.5, -2.0]
    assert tensors["half"].dtype == np.float16
    assert tensors["count"] == 7
    assert tensors["empty"].shape == (0, 3)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_tensor_may_be_changed_without_changing_another(form: str) -> None:
    tensors = read_tensors(GOLDEN / f"tensors_{form}.pt")
    tensors["whole"][:] = 0
    assert np.array_equal(tensors["turned"], NUMBERS.transpose(2, 0, 1))


def tensor(numbers: int = 4, offset: int = 0, shape: str = "I2\nI2\n", strides: str = "I2\nI1\n") -> str:
    """A tensor as a pickle says it, in the opcodes of protocol 0."""
    storage = f"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI{numbers}\nNtQ"
    hooks = "ccollections\nOrderedDict\n)R"
    return f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n({shape}t({strides}tI00\n{hooks}tR"


def saved(pickled: str) -> str:
    """A dictionary with one weight."""
    return f"(dS'weight'\n{pickled}s."


def zip_file(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", NUMBERS[0, 0].tobytes())
    return path


def legacy_file(path: Path, pickled: bytes) -> Path:
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    path.write_bytes(head + pickled + pickle.dumps(["0"], 2) + struct.pack("<q", 4) + NUMBERS[0, 0].tobytes())
    return path


FORMS = pytest.mark.parametrize("write", [zip_file, legacy_file])
Writer = Callable[[Path, bytes], Path]


@FORMS
def test_the_files_that_are_forged_here_are_read_where_nothing_is_wrong(write: Writer, tmp_path: Path) -> None:
    tensors = read_tensors(write(tmp_path / "weights.pt", saved(tensor()).encode()))
    assert tensors["weight"].tolist() == [[0, 1], [2, 3]]


@FORMS
@pytest.mark.parametrize(
    ("pickled", "named"),
    [
        (b"cposix\nsystem\n(S'touch ran'\ntR.", "posix.system"),
        (b'cbuiltins\neval\n(S\'open("ran", "w")\'\ntR.', "builtins.eval"),
        (pickle.dumps(os.mkdir, 4), "posix.mkdir"),
        (b"(iposix\nsystem\n.", "posix.system"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"ctorch._utils\n_rebuild_parameter\n.", "torch._utils._rebuild_parameter"),
        (
            b"cservices.trainer.architectures.torch_file\n_Tensor\n.",
            "services.trainer.architectures.torch_file._Tensor",
        ),
        (b"cnumpy._core.multiarray\n_reconstruct\n.", "numpy._core.multiarray._reconstruct"),
    ],
)
def test_whatever_is_no_tensor_is_refused_by_name_and_not_run(
    write: Writer, pickled: bytes, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableTensors, match=f"asks for {named}, and a file of weights has only tensors"):
        read_tensors(write(tmp_path / "weights.pt", pickled))
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


@FORMS
def test_a_file_can_not_change_the_functions_that_it_names(write: Writer, tmp_path: Path) -> None:
    for target in ("ctorch._utils\n_rebuild_tensor_v2\n", "ccollections\nOrderedDict\n"):
        with pytest.raises(UnreadableTensors):
            read_tensors(write(tmp_path / "weights.pt", f"{target}(N(dS'__call__'\nNstb.".encode()))
    assert read_tensors(write(tmp_path / "weights.pt", saved(tensor()).encode()))["weight"].shape == (2, 2)


@FORMS
@pytest.mark.parametrize(
    ("pickled", "problem"),
    [
        (saved(tensor(shape="I3\nI2\n")), "weight reaches beyond"),
        (saved(tensor(strides="I9\nI1\n")), "weight reaches beyond"),
        (saved(tensor(strides="I0\nI0\n", shape="I99999\nI99999\n")), "reach beyond"),
        (saved(tensor(offset=3)), "weight reaches beyond"),
        (saved(tensor(offset=-1)), "impossible tensor"),
        (saved(tensor(strides="I-2\nI1\n")), "impossible tensor"),
        (saved(tensor(strides="I1\n")), "impossible tensor"),
        (saved(tensor(numbers=5)), "weight is cut off"),
        (saved("I7\n"), "'weight' is a int, not a tensor: save the state_dict"),
        (saved(f"(dS'inner'\n{tensor()}s"), "'weight' is a dict, not a tensor: save the state_dict"),
        ("(lI1\na.", "holds a list where a network's state_dict"),
        ("(d.", "holds a dict where a network's state_dict"),
        ("NQ.", "broken"),
        pytest.param("N" + "\x85" * 60_000 + ".", "something other than tensors", id="deep tuples"),
        ("Np2000000000\n.", "something other than tensors"),
        ("Nr\xff\xff\xff\x7f.", "something other than tensors"),
        ("]\x8f.", "something other than tensors"),
        (saved(tensor(shape="I1\n" * 40, strides="I1\n" * 40)), "impossible tensor"),
        (saved(tensor(offset=10**40)), "impossible tensor"),
        ("(S'module'\nNNNNtQ.", "refers to"),
    ],
)
def test_a_file_with_impossible_values_is_refused(write: Writer, pickled: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableTensors, match=problem):
        read_tensors(write(tmp_path / "weights.pt", pickled.encode("latin-1")))


def test_many_tensors_of_one_storage_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    large = tensor(numbers=10_000, shape="I10000\n", strides="I1\n")
    with zipfile.ZipFile(tmp_path / "weights.pt", "w") as archive:
        archive.writestr("archive/data.pkl", "(d" + "".join(f"S'{number}'\n{large}s" for number in range(100)) + ".")
        archive.writestr("archive/data/0", bytes(40_000))
    with pytest.raises(UnreadableTensors, match="4,000,000 bytes in all"):
        read_tensors(tmp_path / "weights.pt")


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_file_that_was_cut_off_is_refused_wherever_that_was(form: str, tmp_path: Path) -> None:
    whole = (GOLDEN / f"tensors_{form}.pt").read_bytes()
    path = tmp_path / "weights.pt"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableTensors, match=r"weights\.pt: "):
            read_tensors(path)


def test_a_compressed_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableTensors, match="is compressed"):
        read_tensors(zip_file(tmp_path / "weights.pt", saved(tensor()).encode(), zipfile.ZIP_DEFLATED))


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "weights.pt", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(UnreadableTensors, match="a zip without tensors"):
        read_tensors(tmp_path / "weights.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableTensors, match=r"absent\.pt: .*No such file"):
        read_tensors(tmp_path / "absent.pt")
