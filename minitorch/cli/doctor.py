"""``minitorch doctor``: what minitorch runs on here, what is wrong with it, and what to do about each."""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import llvmlite
import numba
import numpy as np

import minitorch
from minitorch.kernels.cpu import _blas, _compiler, _jit
from minitorch.kernels.cpu._threads import allowed_threads

__all__ = ["arguments", "examine", "run"]

TEXT = """\
Look at this machine as minitorch sees it: versions, threads, BLAS, the cache of compiled kernels, GPU, and packages that
get in each other's way. Says what to do about everything that is not well. Exit code 1 if something is wrong.
"""
Row = tuple[str, str, str, str]                 # what, how it is, "ok", "note" or "wrong", and what to do about it


def arguments(parser):
    """Describe the command line."""
    parser.description = TEXT
    parser.add_argument("--clean", action="store_true", help="delete compiled kernels of other versions of minitorch")


def run(args) -> int:
    """Examine, print; return the exit code."""
    if args.clean:
        old = _old_folders()
        size = sum(map(_size, old))
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"deleted {len(old)} folders of compiled kernels, {size / 1e6:.0f} MB\n")
    rows = list(examine())
    for what, state, verdict, remedy in rows:
        print(f"{ {'ok': ' ', 'note': '·', 'wrong': '✗'}[verdict]} {what:<18} {state}")
        if remedy:
            print(f"  {'':<18} → {remedy}")
    wrong = sum(row[2] == "wrong" for row in rows)
    print(f"\n{wrong} problem{'s'[:wrong != 1]} found" if wrong else "\nall is well")
    return 1 if wrong else 0


def examine() -> Iterator[Row]:
    """One row for each thing looked at."""
    yield "minitorch", f"{minitorch.__version__}, {Path(minitorch.__file__).parent}", "ok", ""
    yield "Python", f"{platform.python_version()}, {sys.executable}", "ok", ""
    yield "NumPy, Numba", f"{np.__version__}, {numba.__version__} (llvmlite {llvmlite.__version__})", "ok", ""
    cpu = _jit.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    yield "machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {cpu}", "ok", ""
    yield from _threads()
    yield from _cache()
    yield _gpu()
    yield from _clashes()
    for name, use in (("torch", "comparisons with PyTorch"), ("tokenizers", "reading Hugging Face folders"),
                      ("sphinx", "building the docs")):
        found = _version(name)
        yield name, found or f"not installed (only needed for {use})", "ok", ""


def _threads() -> Iterator[Row]:
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    name = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    if _blas.AVAILABLE:
        yield "BLAS", f"{name}: called from inside our kernels, one thread pool in all", "ok", ""
    else:
        yield "BLAS", f"{name}: not the OpenBLAS of NumPy's wheels, so its threads and ours take turns", "note", \
            "for full speed install NumPy from PyPI: python -m pip install --force-reinstall numpy"
    if "OPENBLAS_CORETYPE" in os.environ:
        core = os.environ["OPENBLAS_CORETYPE"]
        yield "OPENBLAS_CORETYPE", f"{core}: matrix products are made for that CPU, whichever this is", "note", \
            "unset it: OpenBLAS finds the best instructions itself, which may be twice as fast"
    asked = {n: os.environ[n] for n in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if n in os.environ}
    because = f", as {', '.join(f'{k}={v}' for k, v in asked.items())} asks" if asked else ""
    yield "threads", f"{allowed_threads()} of {os.cpu_count()}{because}", "ok", ""
    minitorch.zeros(256, 256).softmax(-1)       # the threading layer is chosen when the first parallel kernel runs
    try:
        layer = str(numba.threading_layer())
    except ValueError:
        layer = "none: kernels are not compiled (NUMBA_DISABLE_JIT)"
    if layer == "workqueue":
        yield "threading layer", layer, "note", "two Python threads must not enter it at once: python -m pip install tbb"
    else:
        yield "threading layer", layer, "ok", ""
    if _jit.config.DISABLE_JIT:
        yield "NUMBA_DISABLE_JIT", "set: every kernel runs as plain Python, hundreds of times slower", "note", "unset it"


def _cache() -> Iterator[Row]:
    folder = _compiler.cache_folder()
    if folder is None:
        yield "kernel cache", "none: no private folder can be written, so every start compiles again", "wrong", \
            "set NUMBA_CACHE_DIR to a folder of your own"
        return
    kernels = len(list(folder.rglob("*.nbc")))
    yield "kernel cache", f"{folder}, {kernels} compiled, {_size(folder) / 1e6:.0f} MB", "ok", \
        "" if kernels else "nothing is compiled yet: minitorch warmup"
    old = _old_folders()
    if old:
        size = sum(map(_size, old)) / 1e6
        yield "", f"{len(old)} folders of other versions, {size:.0f} MB", "note", "minitorch doctor --clean"


def _gpu() -> Row:
    driver = ctypes.util.find_library("cuda") or ctypes.util.find_library("nvcuda")
    if minitorch.cuda.is_available():
        return "GPU", f"ready; matrices are multiplied by {minitorch.cuda.product_by()}", "ok", ""
    if driver:
        return "GPU", "an NVIDIA driver is here, but Numba cannot use it", "note", "pip install 'numba-cuda[cu13]'"
    return "GPU", "none: no NVIDIA driver", "ok", ""


def _clashes() -> Iterator[Row]:
    """Packages known to overwrite, or to be mistaken for, ours or PyTorch."""
    if _version("minitorch"):
        yield "minitorch (PyPI)", f"{_version('minitorch')}: a stranger's package, which installs over PyTorch's folder", \
            "wrong", "python -m pip uninstall minitorch, then reinstall torch and minitorch-numba"
    if _version("minitorchbr"):
        yield "minitorchbr", "its folder MiniTorch is the same as ours where case does not count (Windows, macOS)", \
            "wrong", "python -m pip uninstall minitorchbr, then reinstall minitorch-numba"
    spec = find_spec("kernels")
    folders = [Path(p) for p in (spec and spec.submodule_search_locations) or ()]
    if Path(minitorch.kernels.__file__).parent in folders and _version("kernels"):
        yield "kernels", "Hugging Face's package of this name is hidden by the folder you are in", "note", \
            "run from another folder when you use transformers"
    if "kernels" in sys.modules:
        yield "kernels", "imported under its bare name: everything in it is compiled twice", "wrong", \
            "import minitorch.kernels instead"
    yield "clashes", "looked for: minitorch and minitorchbr of PyPI, kernels of Hugging Face", "ok", ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _old_folders() -> list[Path]:
    folder = _compiler.cache_folder()
    found = [] if folder is None else folder.parent.iterdir()
    return sorted(p for p in found if re.fullmatch("kernels-[0-9a-f]{16}", p.name) and p.is_dir() and p != folder)


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
