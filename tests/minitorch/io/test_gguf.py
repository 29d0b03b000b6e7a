"""GGUF files: unpacked as the format says, number by number; broken and hostile ones refused."""

import struct
import tracemalloc

import gguf_files as make
import numpy as np
import pytest

from minitorch.errors import CheckpointError
from minitorch.io import gguf

# ---------------------------------------------------------------------------------------------------------------------
# unpacking, against the format's definition written out for one number

def half(raw):
    return np.float32(np.frombuffer(bytes(raw), "<f2")[0])


def signed(byte):
    return byte - 256 if byte > 127 else byte


def q4(block, j, at):
    """The 4-bit number j of 32, whose 16 bytes begin at ``at``."""
    byte = block[at + j % 16]
    return byte % 16 if j < 16 else byte // 16


def q5(block, j, at):
    """The 5-bit number: the fifth bit is bit j of 32 bits."""
    bits = int.from_bytes(bytes(block[at:at + 4]), "little")
    return q4(block, j, at + 4) + 16 * (bits >> j & 1)


def scale_and_smallest(s, group):
    """Of one group of eight: 6 bits each, in 12 bytes."""
    if group < 4:
        return s[group] % 64, s[group + 4] % 64
    return s[group + 4] % 16 + 16 * (s[group - 4] // 64), s[group + 4] // 16 + 16 * (s[group] // 64)


def q4_k(block, j, qs=16):
    group, l = divmod(j, 32)
    byte = block[qs + 32 * (group // 2) + l]
    q = byte // 16 if group % 2 else byte % 16
    if qs == 48:                                 # Q5_K: 32 bytes of fifth bits before
        q += 16 * (block[16 + l] >> group & 1)
    step, smallest = scale_and_smallest(block[4:16], group)
    return half(block[:2]) * np.float32(step) * np.float32(q) - half(block[2:4]) * np.float32(smallest)


def q6_k(block, j):
    ql, qh, scales, d = block[:128], block[128:192], block[192:208], half(block[208:210])
    part, inside = divmod(j, 128)                # two halves of 128
    group, l = divmod(inside, 32)                # four groups of 32 in each
    low = ql[64 * part + 32 * (group % 2) + l]
    low = low % 16 if group < 2 else low // 16
    high = qh[32 * part + l] >> 2 * group & 3
    scale = signed(scales[8 * part + 2 * group + l // 16])
    return d * np.float32(scale) * np.float32(low + 16 * high - 32)


SCALAR = {  # kind: numbers a block, bytes a block, the j-th number of a block
    "F32": (1, 4, lambda b, j: np.frombuffer(bytes(b), "<f4")[0]),
    "F16": (1, 2, lambda b, j: half(b)),
    "BF16": (1, 2, lambda b, j: np.frombuffer(b"\0\0" + bytes(b), "<f4")[0]),
    "Q4_0": (32, 18, lambda b, j: half(b[:2]) * np.float32(q4(b, j, 2) - 8)),
    "Q4_1": (32, 20, lambda b, j: half(b[:2]) * np.float32(q4(b, j, 4)) + half(b[2:4])),
    "Q5_0": (32, 22, lambda b, j: half(b[:2]) * np.float32(q5(b, j, 2) - 16)),
    "Q5_1": (32, 24, lambda b, j: half(b[:2]) * np.float32(q5(b, j, 4)) + half(b[2:4])),
    "Q8_0": (32, 34, lambda b, j: half(b[:2]) * np.float32(signed(b[2 + j]))),
    "Q4_K": (256, 144, q4_k),
    "Q5_K": (256, 176, lambda b, j: q4_k(b, j, 48)),
    "Q6_K": (256, 210, q6_k),
}


def random_blocks(rng, kind, count):
    """Random bytes, but finite scales: a float16 whose exponent is not the largest."""
    raw = rng.integers(0, 256, (count, SCALAR[kind][1]), dtype=np.uint8)
    for at in {"F16": (0,), "BF16": (), "F32": (), "Q6_K": (208,), "Q4_1": (0, 2), "Q5_1": (0, 2),
               "Q4_K": (0, 2), "Q5_K": (0, 2)}.get(kind, (0,)):
        raw[:, at + 1] &= 0b10111111
    if kind in ("F32", "BF16"):
        raw[:, -1] &= 0b10111111
    return raw


@pytest.mark.parametrize("kind", SCALAR)
def test_unpacked_as_the_format_says(kind, tmp_path):
    numbers, size, scalar = SCALAR[kind]
    rng = np.random.default_rng(len(kind))
    blocks = random_blocks(rng, kind, 15)
    expected = np.array([scalar([int(x) for x in block], j) for block in blocks for j in range(numbers)], np.float32)
    got = gguf.dequantise(blocks.reshape(-1), kind)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)
    path = make.write(tmp_path / "x.gguf", {}, {"first": np.ones(3, np.float32),
                                                "w": (kind, (5, 3 * numbers), blocks.tobytes())})
    metadata, tensors = gguf.read(path)
    assert metadata == {} and tensors.kinds == {"first": "F32", "w": kind} and len(tensors) == 2
    assert tensors.shapes["w"] == (5, 3 * numbers)
    np.testing.assert_array_equal(tensors["w"], expected.reshape(5, -1))
    assert tensors["w"].flags.writeable and tensors["first"].flags.writeable


def test_dequantise_refuses():
    with pytest.raises(ValueError, match="kind must be one of F32"):
        gguf.dequantise(np.zeros(20, np.uint8), "Q9_9")
    with pytest.raises(ValueError, match="blocks of 20 bytes"):
        gguf.dequantise(np.zeros(21, np.uint8), "Q4_1")
    with pytest.raises(ValueError, match="got float32"):
        gguf.dequantise(np.zeros(20, np.float32), "Q4_1")


def test_settings(tmp_path):
    settings = {"a": 7, "b": -(2**40), "c": 1.5, "d": True, "e": "Grüße", "f": [1, 2, 3], "g": ["x", ""], "h": [True, False],
                "i": [[1, 2], [3]], "j": [], "general.alignment": 64}
    wide = make.setting("k", struct.pack("<IQ", 10, 2**63)) + make.setting("l", struct.pack("<Id", 12, 0.1)) + \
        make.setting("m", struct.pack("<Ib", 1, -5))
    body = make.head(0, len(settings) + 3, version=2) + b"".join(make.setting(k, x) for k, x in settings.items()) + wide
    (tmp_path / "x.gguf").write_bytes(body)
    read, tensors = gguf.read(str(tmp_path / "x.gguf"))
    assert not tensors
    assert {k: read[k] for k in "abcdeg"} == {k: settings[k] for k in "abcdeg"}
    np.testing.assert_array_equal(read["f"], [1, 2, 3])
    np.testing.assert_array_equal(read["h"], [True, False])
    assert [list(x) for x in read["i"]] == [[1, 2], [3]] and len(read["j"]) == 0
    assert (read["k"], read["l"], read["m"]) == (2**63, 0.1, -5)


def test_shapes_and_order(tmp_path):
    x, y = np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.arange(5, dtype=np.float16)
    _, tensors = gguf.read(make.write(tmp_path / "x.gguf", {"a": 1}, {"y": y, "x": x}))
    assert list(tensors) == ["y", "x"]
    np.testing.assert_array_equal(tensors["x"], x)
    np.testing.assert_array_equal(tensors["y"], y.astype(np.float32))
    with pytest.raises(KeyError):
        tensors["z"]


# ---------------------------------------------------------------------------------------------------------------------
# wrong files

huge = 2**63 - 1
one = make.head(1, 0)
two = make.head(2, 0)
zeros = bytes(4096)


def with_a(raw):
    return make.head(0, 1) + make.setting("a", raw)


def a_list(kind, length):
    return struct.pack("<IIQ", 9, kind, length) + zeros


MALFORMED = {  # what is wrong: (the file, what is said, the tensor)
    "empty": (b"", "ends at byte 0", None),
    "three letters": (b"GGU", "ends at byte 3", None),
    "wrong magic": (make.head(0, 0, b"GGML"), "begins with the letters GGUF", None),
    "a pickle": (b"\x80\x04K\x01.", "begins with the letters GGUF", None),
    "only the magic": (b"GGUF", "in the middle of a number", None),
    "version 1": (make.head(0, 0, version=1), "version 1; versions 2 and 3", None),
    "version 99": (make.head(0, 0, version=99), "version 99", None),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian", None),
    "no counts": (b"GGUF" + struct.pack("<I", 3), "in the middle of a number", None),
    "huge tensor count": (make.head(huge, 0) + zeros, "claims 9223372036854775807 tensors", None),
    "huge setting count": (make.head(0, huge) + zeros, "claims 9223372036854775807 settings", None),
    "more settings than there are": (make.head(0, 2) + make.setting("a", 1) + make.text("b" * 9), "in the middle of", None),
    "huge key": (make.head(0, 1) + struct.pack("<Q", huge) + zeros, "in the middle of the name of a setting", None),
    "key not UTF-8": (make.head(0, 1) + make.setting(b"\xff\xfe", 1), "the name of a setting is not UTF-8", None),
    "value not UTF-8": (with_a(b"\x08\0\0\0" + make.text(b"ab\xc3")), "'a' is not UTF-8", None),
    "unknown value type": (with_a(struct.pack("<IQ", 13, 0)), "unknown type 13", None),
    "unknown type in a list": (with_a(a_list(77, 1)), "unknown type 77", None),
    "huge list of numbers": (with_a(a_list(4, huge)), "numbers for setting", None),
    "huge list of texts": (with_a(a_list(8, huge)), "entries for setting", None),
    "huge list of lists": (with_a(a_list(9, huge)), "entries for setting", None),
    "huge list of bools": (with_a(a_list(7, huge)), "truth values for", None),
    "deep lists": (with_a(a_list(9, 1)[:4] + a_list(9, 1)[4:16] * 5000), "too deep", None),
    "bool that is 2": (with_a(struct.pack("<IB", 7, 2)), "neither 0 nor 1", None),
    "text cut off": (make.head(0, 1) + make.text("a") + struct.pack("<IQ", 8, 100) + b"abc", "middle of setting 'a'", None),
    "setting twice": (make.head(0, 2) + make.setting("a", 1) * 2, "'a' stands there twice", None),
    "alignment 0": (make.head(0, 1) + make.setting("general.alignment", 0), "general.alignment must be", None),
    "alignment 48": (make.head(0, 1) + make.setting("general.alignment", 48), "got 48", None),
    "alignment a text": (make.head(0, 1) + make.setting("general.alignment", "x"), "got 'x'", None),
    "alignment huge": (make.head(0, 1) + make.setting("general.alignment", 2**31), "got 2147483648", None),
    "alignment true": (make.head(0, 1) + make.setting("general.alignment", True), "got True", None),
    "no axes": (one + make.entry("w", (), "F32", 0) + zeros, "0 axes", "w"),
    "five axes": (one + make.entry("w", (1,) * 5, "F32", 0) + zeros, "5 axes", "w"),
    "four billion axes": (one + make.text("w") + struct.pack("<I", 2**32 - 1) + zeros, "axes; there may be 1 to 4", "w"),
    "an axis of 0": (one + make.entry("w", (3, 0), "F32", 0) + zeros, "does not fit F32", "w"),
    "half a block": (one + make.entry("w", (2, 48), "Q4_1", 0) + zeros, "rows are blocks of 32", "w"),
    "unknown type": (one + make.entry("w", (32,), 4242, 0) + zeros, "its type 4242 is not read", "w"),
    "a type not read": (one + make.entry("w", (256,), 10, 0) + zeros, "its type Q2_K is", "w"),
    "a retired type": (one + make.entry("w", (32,), 4, 0) + zeros, "its type 4 is not read", "w"),
    "beyond the end": (one + make.entry("w", (1024, 1024), "F32", 0) + zeros, "is it cut off", "w"),
    "far offset": (one + make.entry("w", (2,), "F32", 2**62) + zeros, "is it cut off", "w"),
    "size overflows 64 bits": (one + make.entry("w", (2**32, 2**32, 4), "F32", 0) + zeros, "is it cut off", "w"),
    "huge axes": (one + make.entry("w", (2**64 - 1,) * 4, "F16", 0) + zeros, "is it cut off", "w"),
    "crooked offset": (one + make.entry("w", (2,), "F32", 4) + zeros, "no multiple of the alignment 32", "w"),
    "tensor twice": (two + make.entry("w", (2,), "F32", 0) + make.entry("w", (2,), "F32", 32) + zeros, "twice", "w"),
    "overlap": (two + make.entry("v", (20,), "F32", 0) + make.entry("w", (2,), "F32", 64) + zeros, "over", "w"),
    "one place": (two + make.entry("v", (2,), "F32", 32) + make.entry("w", (2,), "F32", 32) + zeros, "the tensor 'v'", "w"),
    "tensor name not UTF-8": (one + make.entry(b"\xff", (2,), "F32", 0) + zeros, "the name of a tensor is not UTF-8", None),
    "list of tensors cut off": (make.head(3, 0) + make.entry("w", (2,), "F32", 0) * 2 + bytes(24), "", None),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_refused(case, tmp_path):
    raw, message, tensor = MALFORMED[case]
    path = tmp_path / "bad.gguf"
    path.write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            gguf.read(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert message in caught.value.reason
    assert caught.value.path == str(path) and (caught.value.tensor == tensor or case == "list of tensors cut off")


def test_every_truncation_is_refused(tmp_path):
    whole = make.write(tmp_path / "x.gguf", {"a": [1, 2], "b": ["x", "y"], "c": True}, {"v": np.ones(3, np.float32),
                       "w": ("Q8_0", (32,), bytes(34))}).read_bytes()
    needed = len(whole) - (-34 % 32)            # the padding behind the last tensor may be missing
    path = tmp_path / "cut.gguf"
    for size in range(needed):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            gguf.read(path)
    path.write_bytes(whole[:needed])
    assert list(gguf.read(path)[1]) == ["v", "w"]


def test_random_bytes_are_refused_or_read(tmp_path):
    """One byte of a right file changed: an error of the right kind, or a file that can be read."""
    settings = {"a": [1, 2], "b": ["x", "y"], "c": 1.5}
    whole = make.write(tmp_path / "x.gguf", settings, {"v": np.ones((2, 3), np.float32)}).read_bytes()
    rng = np.random.default_rng(0)
    path, refused = tmp_path / "changed.gguf", 0
    for at in range(len(whole) - 24):
        changed = bytearray(whole)
        changed[at] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            for tensor in gguf.read(path)[1].values():
                assert tensor.size <= len(whole)
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be opened: No such file"):
        gguf.read(tmp_path / "none.gguf")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        gguf.read(tmp_path)
