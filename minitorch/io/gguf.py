"""GGUF: one file that holds a language model, its settings and its tokenizer; llama.cpp's format.

With this file one can

- open one                 ``read(path)``: the settings, and the tensors by name
- read packed weights      `dequantise`: from 4, 5, 6 or 8 bits a number to float32

A file is a header, the settings (key, type, value), a list of tensors (name, shape, type, place) and their bytes. Nothing
in it is believed: every length is compared with what is left of the file before anything is allocated or read, so that
a broken file, or one made to do harm, ends in a `CheckpointError` and not in a crash.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from minitorch.errors import CheckpointError

__all__ = ["GGUFTensors", "dequantise", "read"]


# ---------------------------------------------------------------------------------------------------------------------
# packed numbers: a block of them shares a scale. q are small whole numbers, d and m are float16

def _float(raw):
    return raw["x"].astype(np.float32)


def _bfloat16(raw):
    return (raw["x"].astype(np.uint32) << 16).view(np.float32)      # the upper half of a float32


def _nibbles(raw):
    """Two 4-bit numbers a byte: the block's first half in the low bits, its second half in the high bits."""
    return np.concatenate([raw["q"] & 15, raw["q"] >> 4], axis=1).astype(np.float32)


def _fifth_bits(raw):
    """The fifth bit of each of 32 numbers, in its place: 0 or 16."""
    return 16.0 * np.unpackbits(raw["h"], axis=1, bitorder="little").astype(np.float32)


def _scaled(q, raw, smallest=None):
    """q · d, plus the block's smallest number where it is kept."""
    q *= raw["d"].astype(np.float32)[:, None]
    if smallest is not None:
        q += raw[smallest].astype(np.float32)[:, None]
    return q


def _q4_0(raw):
    return _scaled(_nibbles(raw) - np.float32(8), raw)


def _q4_1(raw):
    return _scaled(_nibbles(raw), raw, "m")


def _q5_0(raw):
    return _scaled(_nibbles(raw) + _fifth_bits(raw) - np.float32(16), raw)


def _q5_1(raw):
    return _scaled(_nibbles(raw) + _fifth_bits(raw), raw, "m")


def _q8_0(raw):
    return _scaled(raw["q"].astype(np.float32), raw)


def _q4_k(raw):
    """256 numbers in eight groups of 32, each with a step and a smallest number of its own."""
    nibbles = raw["q"].reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8).reshape(2, 1) & 15          # (n, 4, 2, 32)
    return _grouped(nibbles.reshape(-1, 8, 32).astype(np.float32), raw)


def _q5_k(raw):
    """The same with a fifth bit: bit g of byte l belongs to number l of group g."""
    nibbles = raw["q"].reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8).reshape(2, 1) & 15
    fifth = raw["h"].reshape(-1, 1, 32) >> np.arange(8, dtype=np.uint8).reshape(8, 1) & 1               # (n, 8, 32)
    return _grouped((nibbles.reshape(-1, 8, 32) | fifth << 4).astype(np.float32), raw)


def _grouped(q, raw):
    """q (n, 8, 32) · d · step − m · smallest. Eight steps and eight smallest of 6 bits lie in 12 bytes: the first four of
    each in the low bits of bytes 0 to 7; of the others, 4 bits in bytes 8 to 11 and the upper 2 above the first ones."""
    a, b, c = raw["s"][:, :4], raw["s"][:, 4:8], raw["s"][:, 8:]
    step = np.concatenate([a & 63, c & 15 | a >> 6 << 4], 1).astype(np.float32)
    smallest = np.concatenate([b & 63, c >> 4 | b >> 6 << 4], 1).astype(np.float32)
    q *= (raw["d"].astype(np.float32)[:, None] * step)[:, :, None]
    q -= (raw["m"].astype(np.float32)[:, None] * smallest)[:, :, None]
    return q


def _q6_k(raw):
    """256 numbers of 6 bits, in two halves: 4 low bits and 2 high bits apart, a scale for every 16."""
    low = raw["q"].reshape(-1, 2, 1, 2, 32) >> np.array([0, 4], np.uint8).reshape(2, 1, 1) & 15     # (n, half, 2, 2, 32)
    high = raw["h"].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(4, 1) & 3     # (n, half, 4, 32)
    q = (low.reshape(-1, 2, 4, 32) | high << 4).astype(np.float32) - np.float32(32)
    scale = raw["d"].astype(np.float32)[:, None] * raw["s"].astype(np.float32)
    return q.reshape(-1, 16, 16) * scale[:, :, None]


class _Packing(NamedTuple):
    name: str
    block: int          # numbers in a block
    layout: np.dtype    # bytes of a block
    unpack: Any         # blocks -> float32


def _packing(name, block, unpack, **fields):
    return _Packing(name, block, np.dtype([(k, *(v if isinstance(v, tuple) else (v,))) for k, v in fields.items()]), unpack)


_PACKINGS = {
    0: _packing("F32", 1, _float, x="<f4"),
    1: _packing("F16", 1, _float, x="<f2"),
    2: _packing("Q4_0", 32, _q4_0, d="<f2", q=("u1", 16)),
    3: _packing("Q4_1", 32, _q4_1, d="<f2", m="<f2", q=("u1", 16)),
    6: _packing("Q5_0", 32, _q5_0, d="<f2", h=("u1", 4), q=("u1", 16)),
    7: _packing("Q5_1", 32, _q5_1, d="<f2", m="<f2", h=("u1", 4), q=("u1", 16)),
    8: _packing("Q8_0", 32, _q8_0, d="<f2", q=("i1", 32)),
    12: _packing("Q4_K", 256, _q4_k, d="<f2", m="<f2", s=("u1", 12), q=("u1", 128)),
    13: _packing("Q5_K", 256, _q5_k, d="<f2", m="<f2", s=("u1", 12), h=("u1", 32), q=("u1", 128)),
    14: _packing("Q6_K", 256, _q6_k, q=("u1", 128), h=("u1", 64), s=("i1", 16), d="<f2"),
    30: _packing("BF16", 1, _bfloat16, x="<u2"),
}
_NOT_READ = {9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
             18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16",
             26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0"}


def dequantise(packed: np.ndarray, kind: str) -> np.ndarray:
    """Unpack bytes (uint8) of one of the kinds F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K to
    float32, in one axis.

    Q4_1 keeps 32 numbers in 20 bytes: a step d and a smallest number m, both float16, and 32 counts of steps from 0 to 15.

    >>> block = np.concatenate([np.array([0.5, -1], np.float16).view(np.uint8), np.arange(16, dtype=np.uint8)])
    >>> minitorch.io.gguf.dequantise(block, "Q4_1")[:5]         # m + 0·d, m + 1·d, ...
    array([-1. , -0.5,  0. ,  0.5,  1. ], dtype=float32)
    """
    packing = next((p for p in _PACKINGS.values() if p.name == kind), None)
    if packing is None:
        raise ValueError(f"dequantise: kind must be one of {', '.join(p.name for p in _PACKINGS.values())}, got {kind!r}")
    packed = np.ascontiguousarray(packed)
    if packed.dtype != np.uint8 or packed.ndim != 1 or packed.size % packing.layout.itemsize:
        raise ValueError(f"dequantise: {kind} comes in blocks of {packing.layout.itemsize} bytes in one axis of uint8, "
                         f"got {packed.dtype} of shape {packed.shape}")
    return packing.unpack(packed.view(packing.layout)).reshape(-1)


# ---------------------------------------------------------------------------------------------------------------------
# the file

class _Entry(NamedTuple):
    shape: tuple[int, ...]
    packing: _Packing
    start: int      # in the file
    bytes: int


class GGUFTensors(Mapping):
    """The tensors of a GGUF file by name: looking one up unpacks it to a new float32 array.

    The file is mapped into memory, so what nobody looks up is never read. ``shapes`` and ``kinds`` say what there is.
    """

    def __init__(self, path: Path, entries: dict[str, _Entry], raw: np.ndarray):
        self.path, self._entries, self._raw = path, entries, raw

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        packed = self._raw[entry.start:entry.start + entry.bytes]
        return entry.packing.unpack(packed.view(entry.packing.layout)).reshape(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return {name: entry.shape for name, entry in self._entries.items()}

    @property
    def kinds(self) -> dict[str, str]:
        """How each tensor is packed: ``"Q4_1"``, ``"F32"``, ..."""
        return {name: entry.packing.name for name, entry in self._entries.items()}


def read(path: str | Path) -> tuple[dict[str, Any], GGUFTensors]:
    """Open a GGUF file (version 2 or 3): its settings and its tensors.

    Numbers in the settings are Python's, lists of numbers are NumPy arrays, lists of texts are lists. The tensors have
    NumPy's order of axes, last one fastest, and are unpacked when looked up.

    >>> metadata, tensors = minitorch.io.gguf.read("model.gguf")        # doctest: +SKIP
    >>> metadata["llama.block_count"], tensors["token_embd.weight"].shape           # doctest: +SKIP
    (30, (49152, 576))
    """
    path = Path(path)
    try:
        raw = np.memmap(path, np.uint8, "r").view(np.ndarray) if path.stat().st_size else np.zeros(0, np.uint8)
    except OSError as error:
        raise CheckpointError(path, None, f"cannot be opened: {error.strerror or error}") from None
    file = _Reader(path, raw)
    _check_head(file)
    tensor_count, setting_count = file.count("tensors", 24), file.count("settings", 13)
    metadata: dict[str, Any] = {}
    for _ in range(setting_count):
        key = file.text("the name of a setting")
        if key in metadata:
            file.refuse(f"the setting {key!r} stands there twice")
        metadata[key] = file.value(file.number("I"), f"setting {key!r}")
    entries = _tensor_list(file, tensor_count, _alignment(file, metadata))
    return metadata, GGUFTensors(path, entries, raw)


def _check_head(file):
    magic = bytes(file.take(4, "the first four letters"))
    if magic != b"GGUF":
        file.refuse(f"a GGUF file begins with the letters GGUF, this one with {magic!r}")
    version = file.number("I")
    if version in (2 << 24, 3 << 24):
        file.refuse("it is big-endian, made for another kind of processor; only little-endian files are read")
    if version not in (2, 3):
        file.refuse(f"it is of version {version}; versions 2 and 3 are read. Convert it anew with llama.cpp's tools.")


def _alignment(file, metadata) -> int:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 8 <= alignment <= 2**20 or alignment & (alignment - 1):
        file.refuse(f"general.alignment must be a power of two from 8 on, got {alignment!r}")
    return alignment


def _tensor_list(file, count, alignment) -> dict[str, _Entry]:
    """Names, shapes and places, all of them inside the file and none over another."""
    listed = {}
    for _ in range(count):
        name = file.text("the name of a tensor")
        axes = file.number("I")
        if name in listed:
            file.refuse("it stands there twice", name)
        if not 1 <= axes <= 4:
            file.refuse(f"it has {axes} axes; there may be 1 to 4", name)
        shape = tuple(reversed([file.number("Q") for _ in range(axes)]))
        kind, offset = file.number("I"), file.number("Q")
        if kind not in _PACKINGS:
            file.refuse(f"its type {_NOT_READ.get(kind, kind)} is not read here; there are "
                        f"{', '.join(p.name for p in _PACKINGS.values())}. Take the model in one of these.", name)
        packing = _PACKINGS[kind]
        if 0 in shape or shape[-1] % packing.block:
            file.refuse(f"its shape {shape} does not fit {packing.name}, whose rows are blocks of {packing.block}", name)
        if offset % alignment:
            file.refuse(f"its place {offset} is no multiple of the alignment {alignment}", name)
        listed[name] = shape, packing, offset

    base = -(-file.at // alignment) * alignment
    entries, end, before = {}, 0, ""
    for name, (shape, packing, offset) in sorted(listed.items(), key=lambda item: item[1][2]):
        size = math.prod(shape) // packing.block * packing.layout.itemsize
        if base + offset + size > len(file.raw):
            file.refuse(f"it should take {size} bytes from {base + offset} on, but the file ends at {len(file.raw)}: is it "
                        "cut off? Download it again.", name)
        if offset < end:
            file.refuse(f"it lies over the tensor {before!r}", name)
        entries[name] = _Entry(shape, packing, base + offset, size)
        end, before = offset + size, name
    return {name: entries[name] for name in listed}


_NUMBERS = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 10: "<u8", 11: "<i8", 12: "<f8"}
_BOOL, _TEXT, _LIST = 7, 8, 9


class _Reader:
    """Reads from the front, and refuses to read past the end."""

    def __init__(self, path, raw):
        self.path, self.raw, self.at = path, raw, 0

    def refuse(self, reason, tensor=None) -> NoReturn:
        raise CheckpointError(self.path, tensor, reason)

    def take(self, size, what) -> np.ndarray:
        if size > len(self.raw) - self.at:
            self.refuse(f"it ends at byte {len(self.raw)}, in the middle of {what}, which needs {size} bytes from "
                        f"{self.at} on: is the file cut off?")
        self.at += size
        return self.raw[self.at - size:self.at]

    def number(self, code) -> int:
        return struct.unpack("<" + code, bytes(self.take(struct.calcsize("<" + code), "a number")))[0]

    def count(self, what, each) -> int:
        """How many things follow; each takes so many bytes at least, so there cannot be more than fit."""
        n = self.number("Q")
        if n > (len(self.raw) - self.at) // each:
            self.refuse(f"it claims {n} {what}, more than fit into the {len(self.raw) - self.at} bytes that are left")
        return n

    def text(self, what) -> str:
        raw = bytes(self.take(self.number("Q"), what))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.refuse(f"{what} is not UTF-8: {error.reason} at byte {self.at - len(raw) + error.start}")

    def value(self, kind, what, depth=0):
        """A setting: a number, a truth value, a text, or a list of one of them."""
        if kind in _NUMBERS:
            return self.take(np.dtype(_NUMBERS[kind]).itemsize, what).view(_NUMBERS[kind])[0].item()
        if kind == _BOOL:
            return bool(self._bools(1, what)[0])
        if kind == _TEXT:
            return self.text(what)
        if kind != _LIST:
            self.refuse(f"{what} has the unknown type {kind}")
        if depth > 3:
            self.refuse(f"{what}: lists in lists in lists, too deep")
        kind = self.number("I")
        if kind in _NUMBERS:
            dtype = np.dtype(_NUMBERS[kind])
            n = self.count(f"numbers for {what}", dtype.itemsize)
            return self.take(n * dtype.itemsize, what).view(dtype).copy()
        if kind == _BOOL:
            return self._bools(self.count(f"truth values for {what}", 1), what).view(bool).copy()
        n = self.count(f"entries for {what}", 8 if kind == _TEXT else 12)
        return [self.value(kind, what, depth + 1) for _ in range(n)]

    def _bools(self, n, what):
        raw = self.take(n, what)
        if raw.size and raw.max() > 1:
            self.refuse(f"{what} holds a truth value {raw.max()}, which is neither 0 nor 1")
        return raw
