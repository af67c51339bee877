"""Tensors of a PyTorch file, read without PyTorch and without running anything that the file says.

Both forms that ``torch.save`` ever wrote are read: a zip of a pickle and one file per storage (since 1.6), and before
that four pickles in a row with the storages behind them.
"""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]

DTYPES: Final = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<?",
}
LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL: Final = 1001
MALFORMED: Final = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    TypeError,
    ValueError,
)
"""What reading a file of any bytes at all can raise."""


class UnreadableTensors(ValueError):
    """A file that holds no tensors, more than tensors, or broken ones; the message says which."""


class _Storage(NamedTuple):
    kind: str
    key: str
    numbers: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> Tensors:
    """Read a file that ``torch.save`` wrote of a network's ``state_dict()``.

    Returns:
        The tensors by name, each an array of its own.

    Raises:
        UnreadableTensors: it is no such file, or asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            tensors = dict(_read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file))
    except UnreadableTensors as error:
        raise UnreadableTensors(f"{path}: {error}") from error
    except MALFORMED as error:
        raise UnreadableTensors(f"{path}: no file of PyTorch tensors, or a broken one ({error})") from error
    return tensors


def _read_zip(file: IO[bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        folder = next((name.removesuffix("/data.pkl") for name in members if name.endswith("/data.pkl")), None)
        if folder is None:
            raise UnreadableTensors("is a zip without tensors")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise UnreadableTensors("is compressed, as PyTorch writes no file")
        if f"{folder}/byteorder" in members and archive.read(f"{folder}/byteorder") != b"little":
            raise UnreadableTensors("was written on a big-endian machine")
        with archive.open(f"{folder}/data.pkl") as content:
            records = _records(_TensorsOnly(content).load())
        yield from _arrays(records, lambda storage: archive.read(f"{folder}/data/{storage.key}"))


def _read_legacy(file: IO[bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    file.seek(0)
    if _TensorsOnly(file).load() != LEGACY_MAGIC or _TensorsOnly(file).load() != LEGACY_PROTOCOL:
        raise UnreadableTensors("no file of PyTorch tensors")
    if _TensorsOnly(file).load()["little_endian"] is not True:
        raise UnreadableTensors("was written on a big-endian machine")
    records = _records(_TensorsOnly(file).load())
    widths = {record.storage.key: _dtype(record.storage).itemsize for record in records.values()}
    contents = {}
    for key in _TensorsOnly(file).load():
        (numbers,) = struct.unpack("<q", file.read(8))
        contents[key] = file.read(max(numbers, 0) * widths[key])
    yield from _arrays(records, lambda storage: contents[storage.key])


class _TensorsOnly(pickle.Unpickler):
    """Admits what a ``state_dict()`` is made of, none of which runs or can be changed by what the file says."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if module == "torch" and name in DTYPES:
            return name
        raise UnreadableTensors(f"asks for {module}.{name}, and a file of weights has tensors alone: don't use it")

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _device, numbers, *view = pid
        if tag != "storage" or any(view):
            raise UnreadableTensors(f"refers to {pid!r}, which is no whole storage of a tensor")
        return _Storage(kind, key, numbers)


class _Rebuild:
    """Stands for ``torch._utils._rebuild_tensor_v2``; it has nothing that a pickle could assign to."""

    __slots__ = ()

    def __call__(self, storage: object, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
        numbers = (offset, *shape, *strides)
        sound = all(type(number) is int and number >= 0 for number in numbers) and len(shape) == len(strides)
        if not (isinstance(storage, _Storage) and type(storage.numbers) is int and storage.kind in DTYPES and sound):
            raise UnreadableTensors(f"describes a tensor that can't be: {shape} with strides {strides}")
        return _Tensor(storage, offset, shape, strides)


def _records(content: object) -> dict[str, _Tensor]:
    if not isinstance(content, dict) or not content:
        raise UnreadableTensors(f"holds a {type(content).__name__} where a network's state_dict() was expected")
    for name, record in dict.items(content):
        if not (isinstance(name, str) and isinstance(record, _Tensor)):
            raise UnreadableTensors(f"{name!r} is a {type(record).__name__}, not a tensor: save the state_dict() alone")
    return dict(content)


def _arrays(records: dict[str, _Tensor], content_of: Callable[[_Storage], bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, record in records.items():
        content = content_of(record.storage)
        if len(content) != record.storage.numbers * _dtype(record.storage).itemsize:
            raise UnreadableTensors(f"{name} is cut off: copy the file again")
        yield name, _array(name, record, np.frombuffer(content, _dtype(record.storage)))


def _array(name: str, record: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    last = record.offset + sum((side - 1) * stride for side, stride in zip(record.shape, record.strides, strict=True))
    if math.prod(record.shape) > len(numbers) or (0 not in record.shape and last >= len(numbers)):
        raise UnreadableTensors(f"{name} reaches beyond what the file holds")
    strides = tuple(stride * numbers.itemsize for stride in record.strides)
    view: NDArray[Any] = np.lib.stride_tricks.as_strided(numbers[record.offset :], record.shape, strides)
    return view.copy()


def _dtype(storage: _Storage) -> np.dtype[Any]:
    return np.dtype(DTYPES[storage.kind])
