"""Tensors of a PyTorch file, read without PyTorch and without running anything that the file says.

Both forms that ``torch.save`` ever wrote are read: a zip of a pickle and one file per storage (since 1.6), and before
that four pickles in a row with the storages behind them.
"""

from __future__ import annotations

import math
import os
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from io import BytesIO
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
FILE_BYTES: Final = 4 * 1024**3
"""The largest file that is read."""
PICKLE_BYTES: Final = 16 * 1024**2
"""The largest list of tensors; of a network of a thousand tensors it has some 100 kB."""
MOST_TUPLES: Final = 50_000
"""Four for each tensor; and nested ones that are deeper would overflow the stack of the interpreter."""
MOST_MEMORY: Final = 1_000_000
"""Places that a pickle notes its objects in; the interpreter allocates up to the highest at once."""
MOST_SIDES: Final = 16
SHARED: Final = 4
"""How many times the size of their file tensors may have in all: some networks use one storage for two."""
OPCODES: Final = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "GLOBAL",
        "STACK_GLOBAL",
        "INST",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_LIST",
        "LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_DICT",
        "DICT",
        "SETITEM",
        "SETITEMS",
        "PUT",
        "BINPUT",
        "LONG_BINPUT",
        "MEMOIZE",
        "GET",
        "BINGET",
        "LONG_BINGET",
        "BINPERSID",
        "REDUCE",
        "BUILD",
    ]
)
"""What ``torch.save`` writes, in any protocol."""
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
    RecursionError,
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
            records = _records(_unpickled(BytesIO(content.read(PICKLE_BYTES + 1))))
        _check_size(records, file)
        yield from _arrays(records, lambda storage: archive.read(f"{folder}/data/{storage.key}"))


def _read_legacy(file: IO[bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    file.seek(0)
    pickles = BytesIO(file.read(PICKLE_BYTES + 1))
    if _unpickled(pickles) != LEGACY_MAGIC or _unpickled(pickles) != LEGACY_PROTOCOL:
        raise UnreadableTensors("no file of PyTorch tensors")
    if _unpickled(pickles)["little_endian"] is not True:
        raise UnreadableTensors("was written on a big-endian machine")
    records = _records(_unpickled(pickles))
    keys = _unpickled(pickles)
    _check_size(records, file)
    file.seek(pickles.tell())
    widths = {record.storage.key: _dtype(record.storage).itemsize for record in records.values()}
    contents = {}
    for key in keys:
        (numbers,) = struct.unpack("<q", file.read(8))
        contents[key] = file.read(min(max(numbers, 0) * widths[key], FILE_BYTES))
    yield from _arrays(records, lambda storage: contents[storage.key])


def _unpickled(file: BytesIO) -> Any:
    """The next object of a file; its opcodes are checked before the first is run.

    Raises:
        UnreadableTensors: it needs more than a file of tensors does.
    """
    start, tuples = file.tell(), 0
    for opcode, argument, _ in pickletools.genops(file):
        tuples += opcode.name.startswith("TUPLE")
        noted = "PUT" in opcode.name and int(argument or 0) > MOST_MEMORY
        if opcode.name not in OPCODES or tuples > MOST_TUPLES or noted or file.tell() - start > PICKLE_BYTES:
            raise UnreadableTensors(f"holds more than tensors, or too many of them (at its opcode {opcode.name})")
    file.seek(start)
    return _TensorsOnly(file).load()


def _check_size(records: dict[str, _Tensor], file: IO[bytes]) -> None:
    """Refuse a huge file, and tensors that lie in one storage and are many times what the file holds."""
    there = os.fstat(file.fileno()).st_size
    size = sum(math.prod(record.shape) * _dtype(record.storage).itemsize for record in records.values())
    if size > SHARED * there or there > FILE_BYTES:
        names = f"{len(records)} tensors"
        raise UnreadableTensors(f"{names} reach beyond what the file holds, {size:,} bytes in all")


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
        if not isinstance(kind, str) or not isinstance(key, str):
            raise UnreadableTensors("refers to a storage without a name")
        if tag != "storage" or any(view):
            raise UnreadableTensors("refers to what is no whole storage of a tensor")
        return _Storage(kind, key, numbers)


class _Rebuild:
    """Stands for ``torch._utils._rebuild_tensor_v2``; it has nothing that a pickle could assign to."""

    __slots__ = ()

    def __call__(self, storage: object, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
        numbers = (offset, *shape, *strides)
        sound = all(type(number) is int and 0 <= number <= FILE_BYTES for number in numbers)
        sound = sound and len(shape) == len(strides) <= MOST_SIDES
        if not (isinstance(storage, _Storage) and type(storage.numbers) is int and storage.kind in DTYPES and sound):
            raise UnreadableTensors(f"describes a tensor that can't be, of {len(shape)} sides")
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
