"""Calls of kernels that are small enough for the simulator: (name, arguments), for every kernel of the reference.

``cases(dtype)`` gives them all. What a backward needs is what the reference's forward returned.
"""

from importlib import import_module

import numpy as np

from minitorch.kernels import cuda, quiet, reference

from kernel_checks import normal

__all__ = ["cases", "on_device", "to_device", "to_host"]


def cases(dtype):
    """Every call, with floats of this dtype."""
    with quiet():
        for family in (_softmax, _norms, _shape):
            for case in family(lambda *shape, seed=0, scale=1.0: normal(*shape, seed=seed, scale=scale).astype(dtype)):
                yield [np.asarray(a) if isinstance(a, np.generic) else a for a in case]


def _softmax(n):
    for name in "softmax", "log_softmax":
        for shape, axis in [((3, 11), 1), ((5, 3), 0), ((2, 3, 2), 1), ((1,), 0), ((), 0), ((0, 3), 1)]:
            x = n(*shape, scale=30)
            y = getattr(reference, name + "_forward")(x, axis)
            yield name + "_forward", x, axis
            yield name + "_backward", n(*shape, seed=1), y, axis
        hard = np.array([[-np.inf, 0, 3, 1], [np.nan, 1, 2, 0], [1, 2, np.nan, 5], [-np.inf] * 4, [np.inf, 0, 1, 2],
                         [1e4, -1e4, 9999, 0]], x.dtype)
        yield name + "_forward", hard, 1


def _norms(n):
    for shape in [(5, 7), (2, 2, 3), (1, 1), (3, 1), (0, 4), (9, 2)]:
        x, c = n(*shape, scale=3) + n(1)[0], shape[-1]
        dy = n(*shape, seed=1)
        for gamma, beta in [(n(c, seed=2), n(c, seed=3)), (None, None)]:
            y, mean, rstd = reference.layernorm_forward(x, gamma, beta, 1e-5)
            yield "layernorm_forward", x, gamma, beta, 1e-5
            yield "layernorm_backward", dy, x, gamma, mean, rstd
            y, rrms = reference.rmsnorm_forward(x, gamma, 1e-5)
            yield "rmsnorm_forward", x, gamma, 1e-5
            yield "rmsnorm_backward", dy, x, gamma, rrms
        yield "layernorm_backward", dy, x, None, mean, rstd, (False, True, False)
        yield "rmsnorm_backward", dy, x, None, rrms, (False, False)
    yield "rmsnorm_forward", n(2, 6) * x.dtype.type(1e30), None, 1e-5


def _shape(n):
    x, dy = n(2, 3, 4), n(2, 3, 4, seed=1)
    for shape in [(6, 4), (24,), (4, 3, 2, 1)]:
        yield "reshape_forward", x, shape
        yield "reshape_forward", x.transpose(1, 2, 0), shape
        yield "reshape_backward", x.reshape(shape), (2, 3, 4)
    yield "permute_forward", x, (2, 0, 1)
    yield "permute_backward", x, (2, 0, 1)
    yield "expand_forward", n(3, 1), (2, 3, 4)
    yield "narrow_forward", x, 1, 1, 2
    yield "narrow_backward", n(2, 2, 4), (2, 3, 4), 1, 1, 2
    yield "diagonal_forward", x, 1, 0, 2
    yield "diagonal_backward", n(3, 2), (2, 3, 4), 1, 0, 2
    yield "split_forward", x, [1, 3], 2
    yield "split_backward", (n(2, 3, 1), None), (2, 3, 4), x.dtype, [1, 3], 2
    yield "unbind_forward", x, 1
    yield "unbind_backward", (n(2, 4), None, n(2, 4, seed=2)), (2, 3, 4), x.dtype, 1
    yield "cat_forward", (x, n(2, 1, 4), n(2, 0, 4)), 1
    yield "cat_backward", x, [1, 2], 1, (True, False)
    yield "stack_forward", (x, dy), 1
    yield "stack_backward", x, 1, (True, False, True)
    yield "contiguous_forward", x.transpose(1, 2, 0)
    yield "contiguous_backward", dy
    yield "flip_forward", x, (0, 2)
    yield "flip_backward", x, (0, 2)
    for shifts, dims in [((1,), (0,)), ((-1, 5), (1, 2)), (3, None)]:
        yield "roll_forward", x, shifts, dims
    yield "roll_backward", x, (-1, 5), (1, 2)
    yield "diag_forward", n(3), 1
    yield "diag_backward", n(4, 4), 1


# ---------------------------------------------------------------------------------------------------------------------
# to the GPU and back

class on_device:  # noqa: N801  (stands for a backend's module)
    """The CUDA backend for NumPy arrays: its kernels get copies on the GPU, and results come back.

    ``layout`` changes how the copies lie in memory: "packed", or "strided": every second element, read backwards.
    """

    def __init__(self, layout="packed"):
        self.layout = layout

    def __getattr__(self, name):
        kernel = getattr(cuda, name)
        return lambda *args, **settings: to_host(kernel(*[to_device(a, self.layout) for a in args], **settings))


def to_device(x, layout="packed"):
    """Arrays, also those in tuples and lists, on the GPU; everything else as it is."""
    _array = import_module("minitorch.kernels.cuda._array")     # loads Numba
    if isinstance(x, (tuple, list)):
        return type(x)([to_device(a, layout) for a in x])
    if not isinstance(x, np.ndarray):
        return x
    if layout == "packed" or not x.ndim:
        return _array.to_device(x)
    wide = np.repeat(np.flip(x, -1), 2, axis=-1)
    return _array.view(lambda ghost: ghost[..., ::-2], _array.to_device(wide))


def to_host(x):
    """The other way round."""
    if isinstance(x, (tuple, list)):
        return tuple([to_host(a) for a in x])
    return x.to_host() if hasattr(x, "to_host") else x
