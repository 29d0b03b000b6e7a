"""safetensors: what is written is read, by us and by the library; what is malformed is refused, cheaply."""

import gc
import json
import os
import resource
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from minitorch.errors import CheckpointError
from minitorch.io import safetensors

KINDS = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]


def arrays_of(kind, rng):
    values = rng.integers(0, 2 if kind == "bool" else 100, (3, 5)).astype(kind)
    big_endian = values.astype(np.dtype(kind).newbyteorder(">"))
    read_only = values.copy()
    read_only.flags.writeable = False
    return {
        "plain": values, "0-d": values[0, 0], "0-d too": np.array(values[1, 1]), "empty": values[:0], "wide": values[:, :0],
        "transposed": values.T, "reversed": values[::-1, ::-1], "every second": values[:, ::2], "big-endian": big_endian,
        "broadcast": np.broadcast_to(values[0], (4, 5)), "Fortran": np.asfortranarray(values), "read-only": read_only,
        "": values[:1], "ü/../\"quoted\"\n": values[1:],
    }


def same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype.newbyteorder("=") and np.array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(kind, tmp_path):
    arrays = arrays_of(kind, np.random.default_rng(0))
    safetensors.write(tmp_path / "a", arrays, {"format": "pt", "ü": "{\"a\": [1, \"\\u00fc\"]}\n"})
    tensors = safetensors.read(tmp_path / "a")
    assert set(tensors) == set(arrays) and len(tensors) == len(arrays)
    for name, array in arrays.items():
        assert same(tensors[name], array), name
        assert tensors.shape(name) == np.shape(array)
    assert tensors.metadata == {"format": "pt", "ü": "{\"a\": [1, \"\\u00fc\"]}\n"}
    with pytest.raises(KeyError):
        tensors["no such name"]
    with pytest.raises(ValueError):
        tensors["plain"][0] = 0  # the file is not to be written through a view of it


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_reads_what_we_write_and_the_other_way_round(kind, tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    arrays = arrays_of(kind, np.random.default_rng(1))
    safetensors.write(tmp_path / "ours", arrays, {"a": "b"})
    theirs = library.load_file(tmp_path / "ours")
    assert set(theirs) == set(arrays)
    assert all(same(theirs[name], array) for name, array in arrays.items())

    arrays = {name: np.ascontiguousarray(array, np.dtype(kind)).reshape(np.shape(array)) for name, array in arrays.items()}
    library.save_file(arrays, tmp_path / "theirs", {"a": "b"})
    ours = safetensors.read(tmp_path / "theirs")
    assert set(ours) == set(arrays) and ours.metadata == {"a": "b"}
    assert all(same(ours[name], array) for name, array in arrays.items())


@pytest.mark.parity
def test_bfloat16_is_widened_exactly(tmp_path):
    torch = pytest.importorskip("torch")
    every = torch.arange(2 ** 16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).reshape(256, 256)
    tensors = {"x": every, "none": every[:0], "one": every[3, 4].clone()}
    pytest.importorskip("safetensors.torch").save_file(tensors, tmp_path / "a")
    tensors = safetensors.read(tmp_path / "a")
    assert tensors["x"].dtype == np.float32 and tensors.dtype("x") == "BF16"
    assert np.array_equal(tensors["x"].view(np.uint32), every.float().numpy().view(np.uint32))
    assert tensors["none"].shape == (0, 256) and tensors["one"].shape == ()


def test_a_file_with_no_tensors(tmp_path):
    safetensors.write(tmp_path / "a", {})
    assert dict(safetensors.read(tmp_path / "a")) == {}
    (tmp_path / "b").write_bytes(file_of(b"{}"))
    assert dict(safetensors.read(tmp_path / "b")) == {} and safetensors.read(tmp_path / "b").metadata == {}


def test_numbers_at_odd_places_are_copied(tmp_path):
    header = {"bytes": entry("U8", [3], 0, 3), "doubles": entry("F64", [2], 3, 19), "flags": entry("BOOL", [2], 19, 21)}
    (tmp_path / "a").write_bytes(file_of(header, b"abc" + np.array([1.5, -2.0]).tobytes() + b"\1\0"))
    tensors = safetensors.read(tmp_path / "a")
    assert tensors["doubles"].tolist() == [1.5, -2.0] and tensors["flags"].tolist() == [True, False]


def test_a_file_may_be_replaced_while_it_is_read(tmp_path):
    safetensors.write(tmp_path / "a", {"x": np.arange(1000)})
    old = safetensors.read(tmp_path / "a")
    view = old["x"]
    safetensors.write(tmp_path / "a", {"x": old["x"] + 1})
    assert view[5] == 5 and safetensors.read(tmp_path / "a")["x"][5] == 6
    del old
    gc.collect()
    assert view[999] == 999


# ---------------------------------------------------------------------------------------------------------------------
# what is refused

def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype, shape, begin, end, **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


def one(text):
    """A header with one tensor, whose description is this text."""
    return file_of(b'{"x":' + text.encode() + b"}", bytes(8))


GOOD = file_of({"x": entry("F32", [2], 0, 8)}, bytes(8))
MALFORMED = {
    "empty": b"",
    "three bytes": b"abc",
    "eight bytes": bytes(8),
    "header of 0 bytes": bytes(16),
    "header length 2**63": (2 ** 63).to_bytes(8, "little") + b"{}",
    "header length 2**64 - 1": b"\xff" * 8 + b"{}",
    "header longer than the file by one": (3).to_bytes(8, "little") + b"{}",
    "header of 100 MB and one byte claimed": (100_000_001).to_bytes(8, "little") + b"{}",
    "cut in the header": GOOD[:20],
    "cut in the data": GOOD[:-1],
    "one byte too many": GOOD + b"\0",
    "not JSON": file_of(b"{hello}", bytes(8)),
    "a JSON list": file_of(b"[1, 2, 3]"),
    "a JSON number": file_of(b"12345678"),
    "space before the brace": file_of(b"  {}"),
    "text behind the header": file_of(b'{} {"a": 1}'),
    "comma at the end": file_of(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}', bytes(8)),
    "header without its end": file_of(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}', bytes(8)),
    "not UTF-8": file_of(b'{"\xff\xfe":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "half a surrogate": file_of(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "name with a line break": file_of(b'{"a\nb":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "the same name twice": file_of(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
                                   b'"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "the same name twice, once escaped": file_of(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                                                 b'"\\u0078":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', bytes(8)),
    "the same field twice": one('{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}'),
    "metadata twice": file_of(b'{"__metadata__":{},"__metadata__":{}}'),
    "metadata that is a number": file_of(b'{"__metadata__":{"a":1}}'),
    "metadata that nests": file_of(b'{"__metadata__":{"a":{"b":"c"}}}'),
    "metadata that is a text": file_of(b'{"__metadata__":"abc"}'),
    "overlap": file_of({"x": entry("F32", [2], 0, 8), "y": entry("F32", [2], 4, 12)}, bytes(12)),
    "the same bytes for two": file_of({"x": entry("F32", [2], 0, 8), "y": entry("F32", [2], 0, 8)}, bytes(8)),
    "a gap": file_of({"x": entry("F32", [1], 0, 4), "y": entry("F32", [1], 8, 12)}, bytes(12)),
    "a gap at the start": file_of({"x": entry("F32", [1], 4, 8)}, bytes(8)),
    "out of range": file_of({"x": entry("F32", [3], 0, 12)}, bytes(8)),
    "far out of range": one('{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}'),
    "negative offset": one('{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}'),
    "end before begin": one('{"dtype":"F32","shape":[2],"data_offsets":[8,0]}'),
    "negative size": one('{"dtype":"F32","shape":[-2,-1],"data_offsets":[0,8]}'),
    "product beyond 64 bits": one('{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}'),
    "product that is 8 modulo 2**64": one('{"dtype":"U8","shape":[9223372036854775812,2],"data_offsets":[0,8]}'),
    "zero times infinity": file_of(b'{"x":{"dtype":"F32","shape":[0,9223372036854775807,9],"data_offsets":[0,0]}}'),
    "a number of 5000 digits": one('{"dtype":"F32","shape":[' + "9" * 5000 + '],"data_offsets":[0,8]}'),
    "too few bytes for the shape": one('{"dtype":"F32","shape":[3],"data_offsets":[0,8]}'),
    "too many bytes for the shape": one('{"dtype":"F32","shape":[1],"data_offsets":[0,8]}'),
    "0-d of two numbers": one('{"dtype":"F32","shape":[],"data_offsets":[0,8]}'),
    "65 axes": one('{"dtype":"F32","shape":[' + ",".join(["1"] * 64) + ',2],"data_offsets":[0,8]}'),
    "unknown dtype": one('{"dtype":"F31","shape":[2],"data_offsets":[0,8]}'),
    "dtype in lower case": one('{"dtype":"f32","shape":[2],"data_offsets":[0,8]}'),
    "a dtype we have not": one('{"dtype":"C64","shape":[1],"data_offsets":[0,8]}'),
    "dtype that is a number": one('{"dtype":32,"shape":[2],"data_offsets":[0,8]}'),
    "dtype that is null": one('{"dtype":null,"shape":[2],"data_offsets":[0,8]}'),
    "no dtype": one('{"shape":[2],"data_offsets":[0,8]}'),
    "no shape": one('{"dtype":"F32","data_offsets":[0,8]}'),
    "no offsets": one('{"dtype":"F32","shape":[2]}'),
    "an unknown field": one('{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}'),
    "three offsets": one('{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}'),
    "offsets as an object": one('{"dtype":"F32","shape":[2],"data_offsets":{"begin":0,"end":8}}'),
    "shape as a number": one('{"dtype":"F32","shape":2,"data_offsets":[0,8]}'),
    "NaN in the shape": one('{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}'),
    "true for 1": one('{"dtype":"F64","shape":[true],"data_offsets":[0,8]}'),
    "a fraction": one('{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}'),
    "an exponent": one('{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}'),
    "a leading zero": one('{"dtype":"F32","shape":[02],"data_offsets":[0,8]}'),
    "text for a number": one('{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}'),
    "a tensor that is a list": one("[1,2]"),
    "nested a million deep, lists": file_of(b'{"x":{"shape":' + b"[" * 10 ** 6 + b"]" * 10 ** 6 + b"}}"),
    "nested a million deep, objects": file_of(b'{"x":' * 10 ** 6 + b"1" + b"}" * 10 ** 6),
    "ten million numbers": file_of(b'{"x":{"shape":[' + b"0," * 10 ** 7 + b"0]}}"),
    "a pickle": b"\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01K\x01s.",
    "GGUF": b"GGUF\x03\0\0\0" + bytes(40),
    "NumPy": b"\x93NUMPY\x01\x00v\x00" + bytes(40),
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_files_are_refused(what, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(MALFORMED[what])
    size = len(MALFORMED[what])
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            safetensors.read(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * size + 200_000
    finally:
        tracemalloc.stop()
    assert caught.value.path == str(path) and len(str(caught.value)) < 1000


def test_there_are_enough_of_them():
    assert len(MALFORMED) >= 60
    assert len({bytes(content) for content in MALFORMED.values()}) == len(MALFORMED)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "fifo")  # opening it must not wait for a writer
    for name in ("no such file", "loop", "fifo", ".", "null\0", "no folder/file"):
        with pytest.raises(CheckpointError):
            safetensors.read(f"{tmp_path}/{name}")
    with pytest.raises(CheckpointError, match="not an ordinary file"):
        safetensors.read("/dev/zero")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused(tmp_path):
    safetensors.write(tmp_path / "a", {"x": np.ones(2)})
    os.chmod(tmp_path / "a", 0)
    with pytest.raises(CheckpointError, match="Permission denied"):
        safetensors.read(tmp_path / "a")


def test_the_file_and_the_tensor_are_named(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(MALFORMED["too few bytes for the shape"])
    with pytest.raises(CheckpointError, match=r"shape \(3,\) of F32 takes 12 bytes, and the header gives it 8") as caught:
        safetensors.read(path)
    assert (caught.value.path, caught.value.tensor) == (str(path), "x")


def test_weights_of_torch_save_are_refused_with_the_way_to_convert_them(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    (tmp_path / "old.bin").write_bytes(MALFORMED["a pickle"])
    for name in ("model.pt", "old.bin"):
        with pytest.raises(CheckpointError, match="Convert it where PyTorch is installed: safetensors.torch.save_file"):
            safetensors.read(tmp_path / name)


def test_a_bool_is_0_or_1(tmp_path):
    (tmp_path / "a").write_bytes(file_of({"x": entry("BOOL", [2], 0, 2)}, b"\1\7"))
    with pytest.raises(CheckpointError, match="a byte 7"):
        safetensors.read(tmp_path / "a")["x"]


def test_damaged_files_are_read_or_refused(tmp_path):
    rng = np.random.default_rng(2)
    header = {"__metadata__": {"a": "b"}, "x": entry("F32", [2, 1], 0, 8), "y": entry("I64", [], 8, 16)}
    good = file_of(header, bytes(range(16)))
    letters = np.frombuffer(b'{}[],:"\\0123456789truefalsnN. \0\xff', np.uint8)
    path, refused = tmp_path / "a", 0
    for _ in range(1500):
        data = np.frombuffer(good, np.uint8).copy()
        where = rng.integers(0, len(data) - 16, rng.integers(1, 4))
        data[where] = rng.choice(letters, where.size) if rng.random() < 0.8 else rng.integers(0, 256, where.size)
        path.write_bytes(data.tobytes()[:rng.choice([len(data), rng.integers(len(data) + 1)])])
        try:
            for array in safetensors.read(path).values():
                assert array.nbytes <= 16
        except CheckpointError:
            refused += 1
    assert 1000 < refused < 1500  # most are refused; a changed letter in a name is no damage that can be seen


def test_refusing_takes_no_memory_beyond_the_file(tmp_path):
    """In a process that may not take more: a file of 40 MB that is all header is refused within 150 MB."""
    path = tmp_path / "a"
    path.write_bytes(file_of(b'{"x":{"shape":[' + b"0," * 20_000_000 + b"0]}}"))
    code = (
        "import resource, sys\n"
        "from minitorch.io import safetensors\n"
        "from minitorch.errors import CheckpointError\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 150_000_000, now + 150_000_000))\n"
        "try: safetensors.read(sys.argv[1])\n"
        "except CheckpointError as error: print('refused:', error.reason)\n"
    )
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert result.stdout.startswith("refused: it has more than 64 axes"), result.stderr


# ---------------------------------------------------------------------------------------------------------------------
# what is not written

@pytest.mark.parametrize("array", [
    np.array([object()]), np.array([1j]), np.array(["text"]), np.array(["2026-01-01"], "datetime64[D]"),
    np.zeros(2, [("a", "f4")]), np.ma.masked_array([1.0, 2.0], [True, False]), None, np.zeros(2, np.longdouble),
], ids=lambda array: str(getattr(array, "dtype", array)))
def test_what_cannot_be_stored_is_refused(array, tmp_path):
    with pytest.raises(CheckpointError) as caught:
        safetensors.write(tmp_path / "a", {"fine": np.ones(2), "x": array})
    assert caught.value.tensor == "x" and os.listdir(tmp_path) == []


@pytest.mark.parametrize("tensors, metadata", [
    ({"__metadata__": np.ones(2)}, None), ({1: np.ones(2)}, None), ({"\ud800": np.ones(2)}, None),
    ({}, {"a": 1}), ({}, {1: "a"}), ({}, {"a": "\udfff"}),
])
def test_names_and_texts_that_clash_are_refused(tensors, metadata, tmp_path):
    with pytest.raises(CheckpointError):
        safetensors.write(tmp_path / "a", tensors, metadata)
    assert os.listdir(tmp_path) == []


def test_no_place_to_write(tmp_path):
    for path in (tmp_path / "no folder" / "a", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be written"):
            safetensors.write(path, {"x": np.ones(2)})
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_the_old_file(tmp_path):
    safetensors.write(tmp_path / "a", {"x": np.ones(2)})
    old = (tmp_path / "a").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="cannot be written: File too large. The file that was there is unchanged"):
            safetensors.write(tmp_path / "a", {"x": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "a").read_bytes() == old and os.listdir(tmp_path) == ["a"]


def test_links_and_permissions_stay(tmp_path):
    safetensors.write(tmp_path / "a", {"x": np.ones(2)})
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask
    os.chmod(tmp_path / "a", 0o640)
    (tmp_path / "link").symlink_to("a")
    safetensors.write(tmp_path / "link", {"x": np.zeros(2)})
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert safetensors.read(tmp_path / "a")["x"].tolist() == [0, 0]
