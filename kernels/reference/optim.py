"""One step of an optimizer. Parameters and state are changed in place, gradients are not.

SGD     g = grad + weight_decay · param      b = momentum · b + (1 − dampening) · g      param −= lr · b
Adam    m = β1 · m + (1 − β1) · g            v = β2 · v + (1 − β2) · g²
        param −= lr · m̂ / (√v̂ + eps)         m̂ = m / (1 − β1^step)      v̂ = v / (1 − β2^step)
AdamW   decoupled: param ·= 1 − lr · weight_decay instead of adding weight_decay · param to g
AMSGrad the largest v so far in place of v

Before the step a gradient may be made smaller: Σ |g|ᵖ of all gradients gives their norm, and each is scaled.
"""

import math

import numpy as np

__all__ = ["adam_step", "power_sum", "scale_step", "sgd_step"]


def sgd_step(param, grad, buffer, lr, momentum, dampening, weight_decay, nesterov, maximize, first):
    """buffer: the moving sum of gradients, None without momentum; first: it holds nothing yet."""
    g = -grad if maximize else grad
    if weight_decay:
        g = g + weight_decay * param
    if buffer is not None:
        buffer[...] = g if first else momentum * buffer + (1 - dampening) * g
        g = g + momentum * buffer if nesterov else buffer
    param -= lr * g


def adam_step(param, grad, m, v, vmax, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """step counts from 1; vmax: the largest v so far, None without AMSGrad."""
    g = -grad if maximize else grad
    if weight_decay and decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * param
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * g * g
    if vmax is not None:
        np.maximum(vmax, v, out=vmax)
        v = vmax
    param -= lr / (1 - beta1**step) * m / (np.sqrt(v) / math.sqrt(1 - beta2**step) + eps)


def power_sum(grad, p):
    """grad (…), p a float → Σ |grad|ᵖ in float64; for p = ∞ the largest |grad|."""
    if p == math.inf:
        return np.abs(grad).max(initial=0)
    return (np.abs(grad.astype(np.float64)) ** p).sum()


def scale_step(grad, factor):
    """grad ← factor · grad, in place."""
    grad *= grad.dtype.type(factor)
