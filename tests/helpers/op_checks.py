"""How the tests of op families judge an op: ``function(library, *tensors)``, run on random inputs of the given shapes."""

import numpy as np

import minitorch as mt

__all__ = ["check_against_complex_step", "check_against_differences", "check_against_pytorch", "first", "gradients",
           "layouts"]


def first(result):
    """All float outputs of an op, whatever it returns."""
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    return [y for y in outputs if y.requires_grad]


def gradients(function, arrays, cotangents):
    xs = [mt.tensor(a, requires_grad=True) for a in arrays]
    mt.autograd.backward(first(function(mt, *xs)), [mt.tensor(c) for c in cotangents])
    return [np.zeros(x.shape) if x.grad is None else x.grad.data for x in xs]


def check_against_differences(function, shapes, backend):
    """The gradient of every input, with random cotangents, against finite differences."""
    rng = np.random.default_rng(len(shapes))
    arrays = [rng.permutation(np.linspace(-1.9, 2, int(np.prod(s)))).reshape(s) + 0.013 for s in shapes]
    with mt.kernels.use(backend):
        outputs = first(function(mt, *[mt.tensor(a, requires_grad=True) for a in arrays]))
        cotangents = [rng.standard_normal(y.shape) for y in outputs]
        got = gradients(function, arrays, cotangents)

        def value(moved):
            ys = first(function(mt, *[mt.tensor(a, requires_grad=True) for a in moved]))
            return sum((y.data * c).sum() for y, c in zip(ys, cotangents, strict=True))

        for i, a in enumerate(arrays):
            expected = np.zeros(a.shape)
            for place in np.ndindex(a.shape):
                step = np.zeros(a.shape)
                step[place] = 1e-6
                up, down = list(arrays), list(arrays)
                up[i], down[i] = a + step, a - step
                expected[place] = (value(up) - value(down)) / 2e-6
            np.testing.assert_allclose(got[i], expected, rtol=1e-6, atol=1e-7)


def layouts(a):
    """The same numbers, laid out in memory in several ways."""
    yield "plain", a
    if a.ndim:
        yield "strided", np.repeat(a, 2, -1)[..., ::2]
        yield "fortran", np.asfortranarray(a)
        yield "reversed", np.flip(np.flip(a).copy())


def check_against_pytorch(torch, function, shapes, dtype):
    """Values, shapes, dtypes and gradients are PyTorch's, whatever the memory layout."""
    rng = np.random.default_rng(5)
    arrays = [rng.permutation(np.linspace(-1.9, 2, int(np.prod(s)))).reshape(s).astype(dtype) for s in shapes]
    rtol = 1e-5 if dtype == "float32" else 1e-12
    for i in range(4):
        given = [list(layouts(a))[min(i, len(list(layouts(a))) - 1)][1] for a in arrays]
        theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        ours = [mt.as_tensor(a).requires_grad_() for a in given]
        expected, got = function(torch, *theirs), function(mt, *ours)
        several = isinstance(expected, (tuple, list))
        for e, g in zip(expected if several else [expected], got if several else [got], strict=True):
            assert tuple(e.shape) == g.shape
            assert str(e.dtype) == f"torch.{g.dtype}"
            np.testing.assert_allclose(g.data, e.detach().numpy(), rtol=rtol, atol=rtol)
        cotangents = [rng.standard_normal(tuple(e.shape)).astype(dtype) for e in first(expected)]
        torch.autograd.backward(first(expected), [torch.tensor(c) for c in cotangents])
        mt.autograd.backward(first(got), [mt.as_tensor(c) for c in cotangents])
        for e, g in zip(theirs, ours, strict=True):
            assert (e.grad is None) == (g.grad is None)
            if e.grad is not None:
                np.testing.assert_allclose(g.grad.data, e.grad.numpy(), rtol=rtol, atol=rtol)


def check_against_complex_step(function, shapes):
    """The reference's backward against the derivative of its forward along a random direction, to 10⁻¹².

    With an imaginary step, f(x + ihu) = f(x) + ih · J u to first order. Nothing is subtracted, so nothing is lost.
    """
    rng = np.random.default_rng(len(shapes))
    arrays = [rng.permutation(np.linspace(-1.9, 2, int(np.prod(s)))).reshape(s) + 0.013 for s in shapes]
    with mt.kernels.use("reference"):
        outputs = first(function(mt, *[mt.tensor(a, requires_grad=True) for a in arrays]))
        cotangents = [rng.standard_normal(y.shape) for y in outputs]
        got = gradients(function, arrays, cotangents)
        for i, a in enumerate(arrays):
            direction = rng.standard_normal(a.shape)
            moved = [mt.zeros(()).like(b + 1e-30j * direction if i == j else b + 0j) for j, b in enumerate(arrays)]
            result = function(mt, *moved)
            ys = [y.data for y in (result if isinstance(result, (tuple, list)) else (result,)) if y.data.dtype.kind == "c"]
            along = [y.imag / 1e-30 * c for y, c in zip(ys, cotangents, strict=True)]
            expected, scale = sum(p.sum() for p in along), sum(np.abs(p).sum() for p in along)
            assert abs((got[i] * direction).sum() - expected) <= 1e-12 * scale + 1e-14
