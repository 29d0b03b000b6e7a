"""Writes small GGUF files, right and wrong ones, for the tests. The format is written down here a second time."""

import struct

import numpy as np

KINDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14,
         "BF16": 30}


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(x):
    """A setting with its type, as one would write it in Python."""
    if isinstance(x, bool):
        return struct.pack("<I?", 7, x)
    if isinstance(x, int):
        return struct.pack("<II", 4, x) if 0 <= x < 2**32 else struct.pack("<Iq", 11, x)
    if isinstance(x, float):
        return struct.pack("<If", 6, x)
    if isinstance(x, (str, bytes)):
        return struct.pack("<I", 8) + text(x)
    parts = [value(y) for y in x]
    return struct.pack("<I", 9) + (parts[0][:4] if parts else struct.pack("<I", 4)) + struct.pack("<Q", len(x)) + \
        b"".join(part[4:] for part in parts)


def head(tensors, settings, magic=b"GGUF", version=3):
    return magic + struct.pack("<IQQ", version, tensors, settings)


def setting(key, x):
    return text(key) + (x if isinstance(x, bytes) else value(x))


def entry(name, shape, kind, offset):
    """A line of the tensor list; shape in NumPy's order."""
    kind = KINDS.get(kind, kind)
    return text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape)) + \
        struct.pack("<IQ", kind, offset)


def aligned(raw, to=32):
    return raw + b"\0" * (-len(raw) % to)


def write(path, settings, tensors):
    """tensors: name -> array (float32, float16), or (kind, shape, bytes)."""
    entries, data = b"", b""
    for name, t in tensors.items():
        if isinstance(t, np.ndarray):
            t = {"float32": "F32", "float16": "F16"}[str(t.dtype)], t.shape, t.tobytes()
        kind, shape, raw = t
        entries += entry(name, shape, kind, len(data))
        data = aligned(data + raw)
    start = head(len(tensors), len(settings)) + b"".join(setting(k, x) for k, x in settings.items())
    path.write_bytes(aligned(start + entries) + data)
    return path
