"""The exponential inside loops. Numba's own is a call for every number, which keeps a loop from being vectorised."""

import numpy as np
from numba import types
from numba.extending import overload

__all__ = ["fast_exp"]


def fast_exp(x):
    """eˣ, for compiled code only: in float32 without a call and without a branch, so that a loop runs many lanes wide."""
    raise NotImplementedError("fast_exp is for compiled code")


@overload(fast_exp, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _compiled_exp(x):
    if x is not types.float32:
        return lambda x: np.exp(x)

    def exp32(x):
        # x = (n + f) · log 2, |f| ≤ ½, in double precision: the difference cancels
        z = np.float64(x) * 1.4426950408889634
        z = min(max(z, -150.0), 129.0)
        n = np.floor(z + 0.5)
        f = np.float32(z - n)
        p = np.float32(1.5252733804059841e-05)
        p = p * f + np.float32(1.5403530393381609e-04)
        p = p * f + np.float32(1.3333558146428443e-03)
        p = p * f + np.float32(9.6181291076284772e-03)
        p = p * f + np.float32(5.5504108664821580e-02)
        p = p * f + np.float32(2.4022650695910071e-01)
        p = p * f + np.float32(6.9314718055994531e-01)
        p = p * f + np.float32(1)
        y = p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
        y = np.float32(0) if x < np.float32(-87.3) else y
        y = np.float32(np.inf) if x > np.float32(88.7) else y
        return x if x != x else y
    return exp32
