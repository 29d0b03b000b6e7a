"""safetensors: arrays by name in one file, which cannot run code and cannot lie about its sizes.

    8 bytes    N, the length of the header, little-endian
    N bytes    JSON: {"__metadata__": {"text": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    the rest   the arrays, in C order, one after the other without gaps

- `read(path)`     a mapping from name to array; the file is checked in full before any array is made
- `write(path, …)` whole or not at all, and in memory order whatever order the arrays had

The header's grammar is this small, so it is read by a parser of its own. There is nothing in it that could nest, and
what does not belong there is refused at its first letter.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitorch.errors import CheckpointError
from minitorch.io.atomic import replacing

__all__ = ["Tensors", "read", "write"]

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "|u1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}
NAMES = {np.dtype(text): name for name, text in DTYPES.items() if name not in ("BF16", "BOOL")} | {np.dtype(bool): "BOOL"}
LONGEST_HEADER = 100_000_000  # the format's own limit
MOST_AXES = 64                # NumPy's

OTHER_FORMATS = [
    (b"PK\x03\x04", "a zip file, probably weights saved by torch.save", True),
    (b"\x80", "a pickle, probably weights saved by torch.save", True),
    (b"GGUF", "a GGUF file. minitorch.io.gguf reads those", False),
    (b"\x93NUMPY", "a NumPy file. np.load reads it", False),
    (b"\x89HDF", "an HDF5 file. Convert it with h5py", False),
    (b"\x1f\x8b", "compressed with gzip. Unpack it first", False),
    (b"version https://git-lfs", "a pointer to a file that git-lfs has not fetched yet. Run: git lfs pull", False),
    (b"<", "a web page, probably of a download that failed", False),
]
CONVERT = (". Pickles can run code, so they are not loaded. Convert it where PyTorch is installed: safetensors.torch"
           ".save_file({k: v.contiguous() for k, v in torch.load(path, weights_only=True).items()}, 'model.safetensors')")


@dataclass(frozen=True)
class Entry:
    """Where one array stands in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Tensors(Mapping[str, np.ndarray]):
    """The arrays of a file, by name. Each is looked up in the file when it is asked for.

    Arrays are read-only views of the file where the machine can use its bytes as they are; else they are copies. BF16
    is widened to float32, which holds every one of its values. ``metadata`` is a dictionary of texts.
    """

    def __init__(self, path: str, data: np.ndarray, entries: dict[str, Entry], metadata: dict[str, str]):
        self.path, self.metadata = path, metadata
        self._data, self._entries = data, entries

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        raw = self._data[entry.begin:entry.end]
        dtype = np.dtype(DTYPES[entry.dtype])
        aligned = raw.ctypes.data % dtype.alignment == 0
        array = (raw if aligned else raw.copy()).view(dtype).reshape(entry.shape)
        if entry.dtype == "BF16":
            return np.left_shift(array, 16, dtype=np.uint32).view(np.float32)
        if entry.dtype == "BOOL":
            if array.size and array.max() > 1:
                raise CheckpointError(self.path, name, f"a BOOL is 0 or 1, and here is a byte {array.max()}")
            return array.view(bool)
        return array.astype(dtype.newbyteorder("="), copy=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array, without touching its numbers."""
        return self._entries[name].shape

    def dtype(self, name: str) -> str:
        """The dtype of one array, as the file calls it: F32, BF16 ..."""
        return self._entries[name].dtype

    def __repr__(self):
        return f"Tensors({self.path!r}: {len(self)} arrays)"


# ---------------------------------------------------------------------------------------------------------------------
# reading

def read(path: str | os.PathLike) -> Tensors:
    """Open a file and check all of its header; raise CheckpointError(path, tensor, reason) if anything is wrong.

    >>> import tempfile
    >>> from minitorch.io import safetensors
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> safetensors.write(path, {"weight": np.eye(2, dtype="float32")}, {"step": "7"})
    >>> tensors = safetensors.read(path)
    >>> tensors["weight"]
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    >>> tensors.metadata
    {'step': '7'}
    """
    path = os.fspath(path)
    refuse = _refuser(path)
    try:
        file = open(path, "rb", buffering=0, opener=_open_without_waiting)
    except (OSError, ValueError) as error:
        raise refuse(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    with file:
        try:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise refuse("is not an ordinary file")
            size, header = status.st_size, _read_header(file, status.st_size, refuse)
            entries, metadata = _Header(header, refuse).parse()
            begin = 8 + len(header)
            _check_coverage(entries, size - begin, refuse)
            whole = np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), np.uint8)
        except OSError as error:
            raise refuse(f"cannot be read: {error.strerror or error}") from None
    return Tensors(path, whole[begin:], entries, metadata)


def _open_without_waiting(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for somebody to write into it


def _refuser(path):
    return lambda reason, tensor=None: CheckpointError(path, tensor, reason)


def _read_header(file, size: int, refuse) -> bytes:
    """The header's bytes; nothing is allocated before the length is known to be true."""
    start = file.read(32)
    if size == 0:
        raise refuse("is empty")
    n = int.from_bytes(start[:8], "little")
    if size >= 8 and n <= min(size - 8, LONGEST_HEADER) and start[8:9] == b"{":
        file.seek(8)
        header = b""
        while len(header) < n:
            more = file.read(n - len(header))
            if not more:
                raise refuse("ends inside its header")
            header += more
        return header
    for magic, what, is_pickle in OTHER_FORMATS:
        if start.startswith(magic):
            raise refuse(f"is not safetensors but {what}{CONVERT if is_pickle else '.'}")
    if size < 8:
        raise refuse(f"has {size} bytes; the shortest safetensors file has 10")
    if n > size - 8:
        raise refuse(f"is cut off, or no safetensors file: its header claims {n} bytes, the file has {size}")
    if n > LONGEST_HEADER:
        raise refuse(f"its header claims {n} bytes; the format allows {LONGEST_HEADER}")
    raise refuse("its header does not begin with {")


class _Header:
    """A parser of the header's grammar and of nothing else: an object of entries, an entry of three fields."""

    space = re.compile(r"[ \t\n\r]*")
    number = re.compile(r"(0|[1-9][0-9]{0,19})(?![0-9.eE])")
    decoder = json.JSONDecoder()

    def __init__(self, header: bytes, refuse):
        self.refuse = refuse
        try:
            self.text = header.decode("utf-8")
        except UnicodeDecodeError as error:
            raise refuse(f"its header is not UTF-8 (byte {error.start})") from None
        self.i = 0

    def parse(self) -> tuple[dict[str, Entry], dict[str, str]]:
        entries: dict[str, Entry] = {}
        metadata: dict[str, str] | None = None
        for name in self.keys("the file"):
            if name != "__metadata__":
                entries[name] = self.entry(name)
                continue
            metadata = {}
            for key in self.keys("__metadata__"):
                metadata[key] = self.string("a text (metadata holds nothing else)")
        if self.text[self.i:].strip(" \t\n\r"):
            raise self.error("the end of the header")
        return entries, metadata or {}

    def entry(self, name: str) -> Entry:
        fields: dict[str, Any] = {}
        for field in self.keys(f"tensor {name!r}"):
            if field == "dtype":
                fields[field] = self.string("a dtype")
            elif field in ("shape", "data_offsets"):
                fields[field] = self.numbers(name)
            else:
                raise self.refuse(f"its header has a field {field!r}; known are dtype, shape and data_offsets", name)
        for field in ("dtype", "shape", "data_offsets"):
            if field not in fields:
                raise self.refuse(f"its header has no field {field!r}", name)
        dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
        if dtype not in DTYPES:
            raise self.refuse(f"dtype {dtype!r} is not supported; these are: {', '.join(DTYPES)}", name)
        if len(offsets) != 2:
            raise self.refuse(f"data_offsets are two numbers, begin and end; here are {len(offsets)}", name)
        begin, end = offsets
        if begin > end:
            raise self.refuse(f"it begins at {begin}, behind its end {end}", name)
        itemsize = np.dtype(DTYPES[dtype]).itemsize
        if math.prod(n for n in shape if n) * itemsize >= 2 ** 63:
            raise self.refuse(f"shape {shape} is larger than any memory", name)
        if math.prod(shape) * itemsize != end - begin:
            raise self.refuse(f"shape {shape} of {dtype} takes {math.prod(shape) * itemsize} bytes, and the header gives "
                              f"it {end - begin}", name)
        return Entry(dtype, shape, begin, end)

    # the grammar's pieces: each starts at self.i, skips spaces before it and moves self.i behind it

    def keys(self, owner: str) -> Iterator[str]:
        """Walk over an object's keys; the caller reads each value."""
        seen = set()
        self.expect("{")
        if self.peek() == "}":
            self.i += 1
            return
        while True:
            key = self.string("a name in quotation marks")
            if key in seen:
                raise self.refuse(f"its header has {key!r} twice in {owner}")
            seen.add(key)
            self.expect(":")
            yield key
            if self.peek() != ",":
                break
            self.i += 1
        self.expect("}")

    def string(self, what: str) -> str:
        if self.peek() != '"':
            raise self.error(what)
        try:
            text, self.i = self.decoder.raw_decode(self.text, self.i)
            text.encode("utf-8")
        except (ValueError, UnicodeEncodeError):
            raise self.error("a text that ends, of valid characters") from None
        return text

    def numbers(self, name: str) -> tuple[int, ...]:
        values: list[int] = []
        self.expect("[")
        while self.peek() != "]" or values:
            found = self.number.match(self.text, self.i) if self.peek() else None
            if found is None:
                raise self.error("a whole number, 0 or more", name)
            values.append(int(found[0]))
            if len(values) > MOST_AXES:
                raise self.refuse(f"it has more than {MOST_AXES} axes", name)
            self.i = found.end()
            if self.peek() != ",":
                break
            self.i += 1
        self.expect("]")
        return tuple(values)

    def peek(self) -> str:
        self.i = self.space.match(self.text, self.i).end()  # type: ignore[union-attr]
        return self.text[self.i:self.i + 1]

    def expect(self, letter: str) -> None:
        if self.peek() != letter:
            raise self.error(letter)
        self.i += 1

    def error(self, expected: str, tensor: str | None = None) -> CheckpointError:
        found = repr(self.text[self.i:self.i + 12]) if self.text[self.i:] else "its end"
        return self.refuse(f"its header is malformed at letter {self.i}: expected {expected}, found {found}", tensor)


def _check_coverage(entries: dict[str, Entry], available: int, refuse) -> None:
    """The arrays must fill the file: no byte twice, none unused."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.end > available:
            raise refuse(f"it ends at byte {entry.end}, and the file has {available} bytes of data: is it cut off?", name)
        if entry.begin != position:
            what = "overlaps the one before it" if entry.begin < position else "leaves a gap before it"
            raise refuse(f"it begins at byte {entry.begin} and {what}, which ends at {position}", name)
        position = entry.end
    if position != available:
        raise refuse(f"has {available - position} bytes behind the last tensor that belong to none")


# ---------------------------------------------------------------------------------------------------------------------
# writing

def write(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays to a file that takes the old one's place at once, or not at all.

    Arrays may be strided, reversed, broadcast or big-endian; what is written is what ``np.array_equal`` sees.
    """
    path = os.fspath(path)
    refuse = _refuser(path)
    arrays = {name: _writable(name, array, refuse) for name, array in tensors.items()}
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))  # so that every array is aligned
    header: dict[str, Any] = {}
    if metadata:
        for key, value in metadata.items():
            if not (isinstance(key, str) and isinstance(value, str)):
                raise refuse(f"metadata holds texts by text, and here is {key!r}: {value!r}")
        header["__metadata__"] = dict(metadata)
    begin = 0
    for name, array in arrays.items():
        end = begin + array.nbytes
        header[name] = {"dtype": NAMES[array.dtype.newbyteorder("<")], "shape": list(array.shape),
                        "data_offsets": [begin, end]}
        begin = end
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise refuse(f"a name or a text of the metadata cannot be written as UTF-8: {error.reason}") from None
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise refuse(f"the names and the metadata take {len(text)} bytes; the format allows {LONGEST_HEADER}")
    try:
        with replacing(path) as file:
            file.write(len(text).to_bytes(8, "little"))
            file.write(text)
            for array in arrays.values():
                little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                file.write(little.reshape(-1).view(np.uint8).data)
    except (OSError, ValueError) as error:
        old = " The file that was there is unchanged." if os.path.isfile(path) else ""
        raise refuse(f"cannot be written: {getattr(error, 'strerror', None) or error}.{old}") from None


def _writable(name, array, refuse) -> np.ndarray:
    if not isinstance(name, str) or name == "__metadata__":
        raise refuse(f"a tensor's name is a text other than __metadata__, got {name!r}")
    if isinstance(array, np.ma.MaskedArray):
        raise refuse("it is a masked array; fill it first: array.filled(0)", name)
    array = array.to_host() if hasattr(array, "to_host") else np.asarray(array)     # a checkpoint knows of no device
    if array.dtype.newbyteorder("<") not in NAMES:
        raise refuse(f"arrays of {array.dtype} cannot be stored; numbers of up to 8 bytes and bool can", name)
    return array
