"""Read the tensors of a PyTorch file, without PyTorch and without running anything in the file.

It reads both formats of ``torch.save``: a zip of a pickle and one file per storage (since 1.6), and before that, four
pickles followed by the storages.
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
"""Size of the largest file that is read."""
PICKLE_BYTES: Final = 16 * 1024**2
"""Size of the largest list of tensors; for a thousand tensors it is about 100 kB."""
MOST_TUPLES: Final = 50_000
"""A tensor has four; tuples that are nested more deeply would overflow the interpreter's stack."""
LARGEST_MEMO: Final = 1_000_000
"""Highest number in a pickle's memo: the interpreter allocates all entries up to it at once."""
MOST_DIMENSIONS: Final = 16
SHARED: Final = 4
"""Largest ratio of the tensors' total size to the file's: some networks use one storage for two tensors."""
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
"""Opcodes that ``torch.save`` writes, in any protocol."""
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
"""Errors that reading arbitrary bytes can raise."""


class UnreadableTensors(ValueError):
    """A file that holds no tensors, broken ones, or something else; the message says which."""


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
        The tensors by name, each as a separate array.

    Raises:
        UnreadableTensors: the file was not written by ``torch.save``, or contains anything but tensors.
    """
    try:
        with path.open("rb") as file:
            tensors = dict(read_zip(file) if zipfile.is_zipfile(file) else read_legacy(file))
    except UnreadableTensors as error:
        raise UnreadableTensors(f"{path}: {error}") from error
    except MALFORMED as error:
        raise UnreadableTensors(f"{path}: not a file of PyTorch tensors, or a broken one ({error})") from error
    return tensors


def read_zip(file: IO[bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        folder = next((name.removesuffix("/data.pkl") for name in members if name.endswith("/data.pkl")), None)
        if folder is None:
            raise UnreadableTensors("is a zip without tensors")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise UnreadableTensors("is compressed, and PyTorch never writes compressed files")
        if f"{folder}/byteorder" in members and archive.read(f"{folder}/byteorder") != b"little":
            raise UnreadableTensors("was written on a big-endian machine")
        with archive.open(f"{folder}/data.pkl") as content:
            records = _records(_unpickle(BytesIO(content.read(PICKLE_BYTES + 1))))
        _check_size(records, file)
        yield from _arrays(records, lambda storage: archive.read(f"{folder}/data/{storage.key}"))


def read_legacy(file: IO[bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    file.seek(0)
    pickles = BytesIO(file.read(PICKLE_BYTES + 1))
    if _unpickle(pickles) != LEGACY_MAGIC or _unpickle(pickles) != LEGACY_PROTOCOL:
        raise UnreadableTensors("not a file of PyTorch tensors")
    if _unpickle(pickles)["little_endian"] is not True:
        raise UnreadableTensors("was written on a big-endian machine")
    records = _records(_unpickle(pickles))
    keys = _unpickle(pickles)
    _check_size(records, file)
    file.seek(pickles.tell())
    widths = {record.storage.key: _dtype(record.storage).itemsize for record in records.values()}
    contents = {}
    for key in keys:
        (numbers,) = struct.unpack("<q", file.read(8))
        contents[key] = file.read(min(max(numbers, 0) * widths[key], FILE_BYTES))
    yield from _arrays(records, lambda storage: contents[storage.key])


def _unpickle(file: BytesIO) -> Any:
    """Return the next object of a file, after checking all of its opcodes.

    Raises:
        UnreadableTensors: the object has opcodes that a file of tensors does not need.
    """
    start, tuples = file.tell(), 0
    for opcode, argument, _ in pickletools.genops(file):
        tuples += opcode.name.startswith("TUPLE")
        too_high = "PUT" in opcode.name and int(argument or 0) > LARGEST_MEMO
        if opcode.name not in OPCODES or tuples > MOST_TUPLES or too_high or file.tell() - start > PICKLE_BYTES:
            raise UnreadableTensors(
                f"holds something other than tensors, or too many of them (at its opcode {opcode.name})"
            )
    file.seek(start)
    return _TensorsOnly(file).load()


def _check_size(records: dict[str, _Tensor], file: IO[bytes]) -> None:
    """Refuse a huge file, and tensors that share storages and are together many times the size of the file."""
    file_size = os.fstat(file.fileno()).st_size
    size = sum(math.prod(record.shape) * _dtype(record.storage).itemsize for record in records.values())
    if size > SHARED * file_size or file_size > FILE_BYTES:
        raise UnreadableTensors(f"{len(records)} tensors reach beyond the end of the file, {size:,} bytes in all")


class _TensorsOnly(pickle.Unpickler):
    """Creates only what a ``state_dict()`` consists of; nothing of that runs or can be changed by the file."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if module == "torch" and name in DTYPES:
            return name
        raise UnreadableTensors(f"asks for {module}.{name}, and a file of weights has only tensors: do not use it")

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _device, numbers, *view = pid
        if not isinstance(kind, str) or not isinstance(key, str):
            raise UnreadableTensors("refers to a storage without a name")
        if tag != "storage" or any(view):
            raise UnreadableTensors("refers to a part of a storage, or to something else")
        return _Storage(kind, key, numbers)


class _Rebuild:
    """Replaces ``torch._utils._rebuild_tensor_v2``; it has no attribute to which a pickle could assign."""

    __slots__ = ()

    def __call__(self, storage: object, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
        numbers = (offset, *shape, *strides)
        valid = all(type(number) is int and 0 <= number <= FILE_BYTES for number in numbers)
        valid = valid and len(shape) == len(strides) <= MOST_DIMENSIONS
        if not (isinstance(storage, _Storage) and type(storage.numbers) is int and storage.kind in DTYPES and valid):
            raise UnreadableTensors(f"describes an impossible tensor with {len(shape)} dimensions")
        return _Tensor(storage, offset, shape, strides)


def _records(content: object) -> dict[str, _Tensor]:
    if not isinstance(content, dict) or not content:
        raise UnreadableTensors(f"holds a {type(content).__name__} where a network's state_dict() was expected")
    for name, record in dict.items(content):
        if not (isinstance(name, str) and isinstance(record, _Tensor)):
            raise UnreadableTensors(f"{name!r} is a {type(record).__name__}, not a tensor: save the state_dict() alone")
    return dict(content)


def _arrays(records: dict[str, _Tensor], content_of: Callable[[_Storage], bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each tensor with its name; `content_of` reads a storage."""
    for name, record in records.items():
        content = content_of(record.storage)
        if len(content) != record.storage.numbers * _dtype(record.storage).itemsize:
            raise UnreadableTensors(f"{name} is cut off: copy the file again")
        numbers = np.frombuffer(content, _dtype(record.storage))
        shape, strides = record.shape, record.strides
        last = record.offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
        if math.prod(shape) > len(numbers) or (0 not in shape and last >= len(numbers)):
            raise UnreadableTensors(f"{name} reaches beyond the end of its storage")
        byte_strides = tuple(stride * numbers.itemsize for stride in strides)
        yield name, np.lib.stride_tricks.as_strided(numbers[record.offset :], shape, byte_strides).copy()


def _dtype(storage: _Storage) -> np.dtype[Any]:
    return np.dtype(DTYPES[storage.kind])
