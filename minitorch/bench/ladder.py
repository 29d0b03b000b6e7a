"""On a GPU: how fast it copies, how fast a library multiplies matrices, and how far each rung of our ladder of products is.

Numbers are random: a GPU multiplies zeros faster, as it gets less hot. PyTorch's product is in float32, without TF32.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

__all__ = ["RUNGS", "cases", "prepare", "speeds"]

RUNGS = ["naive", "coalesced", "tiled", "registers", "vector"]
LIBRARY = "library's product"


def cases(sizes=(1024, 2048, 4096)) -> list[dict]:
    """Every rung at every size, after the library's product of that size.

    >>> [case["name"] for case in cases([64])][:2]
    ["library's product", 'naive']
    """
    return [{"name": name, "size": f"{n} × {n}", "product": n} for n in sizes for name in [LIBRARY, *RUNGS]]


def speeds(quick: bool = False) -> list[dict]:
    """What to time to know the GPU: copies of 64 kB to 1 GB, and a product.

    >>> speeds(quick=True)
    [{'copy': 4096}, {'name': "library's product", 'product': 64}]
    """
    sizes = [12] if quick else [16, 20, 22, 24, 26, 28, 30]
    return [*({"copy": 1 << power} for power in sizes), {"name": LIBRARY, "product": 64 if quick else 4096}]


def prepare(library, case: dict):
    """The thing to time. ``None`` stands for what this library has not: PyTorch has no rungs, we may have no library."""
    if "copy" in case:
        return _copy(library, case["copy"] // 4), {}
    x, y = np.random.default_rng(0).standard_normal((2, case["product"], case["product"]), np.float32)
    x, y = (library.torch.from_numpy(a).to("cuda") for a in (x, y))
    if library.name == "torch":
        z = library.torch.empty_like(x)
        return lambda: library.torch.matmul(x, y, out=z), {}
    products = import_module("minitorch.kernels.cuda.matmul")
    rung = products.product if case["name"] == LIBRARY else products.ladder[case["name"]]
    return lambda: rung(x.data, y.data), {"fingerprint": _fingerprint(x, y, rung)}


def _copy(library, n):
    source = library.torch.ones(n)
    target = library.torch.zeros(n)
    if library.name == "torch":
        return lambda: target.copy_(source)
    to, from_ = target.data.linear, source.data.linear
    return lambda: to.copy_to_device(from_)     # the driver's own copy


def _fingerprint(x, y, rung):
    """Is the product right? The sum of its columns is x · (the sum of y's columns)."""
    found, wanted = rung(x.data, y.data).to_host().sum(1), x.cpu().data @ y.cpu().data.sum(1)
    wrong = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    if not wrong < 1e-3:
        raise RuntimeError(f"a product is off by {wrong:.1e}")
    return []
