"""Every CUDA kernel under NVIDIA's compute-sanitizer: does one read or write where it must not, do two threads race?

    python tests/helpers/sanitize_cuda.py                            all kernels, with every tool
    python tests/helpers/sanitize_cuda.py racecheck softmax matmul   one tool, kernels whose name holds one of these words

It needs a GPU and the tool, which comes with the CUDA toolkit. It takes minutes: every access to memory is looked at.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["TOOLS", "run", "sanitizer"]

TOOLS = ("memcheck", "racecheck", "synccheck")      # memory, races in shared memory, barriers that not all threads reach


def sanitizer():
    """Where compute-sanitizer is; None if it is not installed."""
    return shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")


def run(tool, *words):
    """Run kernels under a tool of the sanitizer → (did it find nothing?, what it and the kernels printed)."""
    command = [sanitizer(), "--tool", tool, "--error-exitcode", "9", "--print-limit", "5", "--", sys.executable, __file__,
               "kernels", *words]
    # each array gets memory of its own, and no more than it needs: else what lies behind its end is somebody else's
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MINITORCH_CUDA_EXACT_MEMORY": "1"})
    return done.returncode == 0, done.stdout + done.stderr


def call_kernels(*words):
    """Call the kernels, each the first few times that the tests would."""
    sys.path.insert(0, str(Path(__file__).parent))
    from cuda_cases import cases, on_device
    counts: dict = {}
    for name, *args in cases("float32"):
        counts[name] = counts.get(name, 0) + 1
        if counts[name] > 3 or words and not any(word in name for word in words):
            continue
        settings = {"needs": (True,) * (len(args) - 2)} if name == "einsum_backward" else {}
        for layout in "packed", "strided":
            getattr(on_device(layout), name)(*args, **settings)
    print(f"{len(counts)} kernels called" if not words else "called: " + ", ".join(n for n in counts if any(
        word in n for word in words)))


def main(*args):
    if args[:1] == ("kernels",):
        return call_kernels(*args[1:])
    if sanitizer() is None:
        sys.exit("compute-sanitizer is not installed. It comes with the CUDA toolkit; put its folder into PATH.")
    tools, words = (args[:1], args[1:]) if args[:1] and args[0] in TOOLS else (TOOLS, args)
    failed = []
    for tool in tools:
        fine, text = run(tool, *words)
        print(f"== {tool}: {'nothing found' if fine else 'FAILED'}\n{text}")
        failed += [] if fine else [tool]
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
