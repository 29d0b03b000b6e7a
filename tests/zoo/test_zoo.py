"""The checkers, checked: backward passes that are wrong in ways seen in real projects, each planted in a copy of the
reference kernels. The ordinary layer check (what `minitorch gradcheck` runs) must refuse every one of them.

pytest prints how many were caught in its summary.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import minitorch as mt
from minitorch.gradcheck import check
from minitorch.kernels import reference as k
from minitorch.layer_checks import LAYERS, check_layer
from minitorch.ops.layernorm import LayerNorm

EPS = 1e-5
ZOO = []


def wrong(kernel, *layers):
    """Plant the decorated function under a kernel's name, and check the layers whose name begins with one of these."""
    def plant(function):
        ZOO.append(pytest.param(kernel, function, layers, id=f"{kernel}-{function.__name__}"))
        return function
    return plant


def planted(**kernels):
    return SimpleNamespace(**{name: getattr(k, name) for name in dir(k) if not name.startswith("_")} | kernels)


def first_complaint(backend, layers):
    chosen = [layer for layer in LAYERS if layer.name.startswith(layers)]
    assert chosen
    return next((report for layer in chosen for report in check_layer(layer, backend) if not report.ok), None)


# ---------------------------------------------------------------------------------------------------------------------
# layer_norm

def _xhat(x, mean, rstd):
    return (_rows(x) - mean[:, None]) * rstd[:, None]


def _rows(x):
    return x.reshape(-1, x.shape[-1])


def _ln(dy, x, gamma, mean, rstd, centre=1.0, project=1.0, scale=True):
    xhat, d = _xhat(x, mean, rstd), _rows(dy)
    g = d if gamma is None or not scale else d * gamma
    dx = rstd[:, None] * (g - centre * g.mean(-1)[:, None] - project * xhat * (g * xhat).mean(-1)[:, None])
    return dx.reshape(x.shape), None if gamma is None else (d * xhat).sum(0), None if gamma is None else d.sum(0)


@wrong("layernorm_backward", "layer_norm")
def eps_outside_the_root(dy, x, gamma, mean, rstd, needs=None):
    return _ln(dy, x, gamma, mean, 1 / (np.sqrt(1 / rstd**2 - EPS) + EPS))


@wrong("layernorm_backward", "layer_norm")
def no_eps(dy, x, gamma, mean, rstd, needs=None):
    return _ln(dy, x, gamma, mean, 1 / np.sqrt(1 / rstd**2 - EPS))


@wrong("layernorm_backward", "layer_norm")
def unbiased_variance(dy, x, gamma, mean, rstd, needs=None):
    c = x.shape[-1]
    return _ln(dy, x, gamma, mean, 1 / np.sqrt((1 / rstd**2 - EPS) * c / (c - 1) + EPS))


@wrong("layernorm_backward", "layer_norm")
def no_mean_term(dy, x, gamma, mean, rstd, needs=None):
    return _ln(dy, x, gamma, mean, rstd, centre=0)


@wrong("layernorm_backward", "layer_norm")
def no_projection_term(dy, x, gamma, mean, rstd, needs=None):
    return _ln(dy, x, gamma, mean, rstd, project=0)


@wrong("layernorm_backward", "layer_norm")
def projection_divided_by_c_minus_1(dy, x, gamma, mean, rstd, needs=None):
    return _ln(dy, x, gamma, mean, rstd, project=x.shape[-1] / (x.shape[-1] - 1))


@wrong("layernorm_backward", "layer_norm")
def gamma_ignored_in_dx(dy, x, gamma, mean, rstd, needs=None):
    return _ln(dy, x, gamma, mean, rstd, scale=False)


@wrong("layernorm_backward", "layer_norm")
def dgamma_and_dbeta_swapped(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    return dx, dbeta, dgamma


@wrong("layernorm_backward", "layer_norm")
def dgamma_averaged(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    return dx, None if gamma is None else dgamma / len(mean), dbeta


@wrong("layernorm_backward", "layer_norm")
def dgamma_without_its_sum(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    return dx, None if gamma is None else (_rows(dy) * _xhat(x, mean, rstd))[0], dbeta


@wrong("layernorm_backward", "layer_norm")
def last_block_of_rows_dropped(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    dx.reshape(-1, x.shape[-1])[len(mean) // 64 * 64 or len(mean):] = 0
    return dx, dgamma, dbeta


@wrong("layernorm_backward", "layer_norm")
def dgamma_lacks_the_last_block(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    end = len(mean) // 64 * 64 or len(mean)
    return dx, None if gamma is None else (_rows(dy) * _xhat(x, mean, rstd))[:end].sum(0), dbeta


@wrong("layernorm_backward", "layer_norm")
def last_lane_lost_for_odd_widths(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    dx[..., x.shape[-1] // 2 * 2:] = 0
    return dx, dgamma, dbeta


@wrong("layernorm_backward", "layer_norm")
def off_by_a_twentieth_of_a_percent(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    return dx * 1.0005, dgamma, dbeta


@wrong("layernorm_backward", "layer_norm")
def dgamma_rounded_to_half_precision(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    return dx, None if gamma is None else dgamma.astype("float16").astype(float), dbeta


@wrong("layernorm_backward", "layer_norm")
def writes_into_dy(dy, x, gamma, mean, rstd, needs=None):
    result = _ln(dy, x, gamma, mean, rstd)
    if dy.flags.writeable:
        dy[...] = result[0]
    return result


@wrong("layernorm_backward", "layer_norm")
def writes_into_x(dy, x, gamma, mean, rstd, needs=None):
    result = _ln(dy, x, gamma, mean, rstd)
    x[...] = result[0]
    return result


@wrong("layernorm_backward", "layer_norm")
def spoils_what_forward_saved(dy, x, gamma, mean, rstd, needs=None):
    result = _ln(dy, x, gamma, mean, rstd)
    rstd *= 1.5
    return result


@wrong("layernorm_backward", "layer_norm")
def assumes_contiguous_memory(dy, x, gamma, mean, rstd, needs=None):
    base = dy.base if isinstance(dy.base, np.ndarray) and dy.base.size >= dy.size else dy
    flat = base.ravel()[:dy.size] if not dy.flags.c_contiguous else dy.ravel()
    return _ln(flat.reshape(dy.shape), x, gamma, mean, rstd)


@wrong("layernorm_backward", "layer_norm")
def assumes_two_axes(dy, x, gamma, mean, rstd, needs=None):
    dx, dgamma, dbeta = _ln(dy, x, gamma, mean, rstd)
    if x.ndim > 2:
        dx[1:] = 0
    return dx, dgamma, dbeta


# ---------------------------------------------------------------------------------------------------------------------
# rms_norm

@wrong("rmsnorm_backward", "rms_norm")
def rms_without_projection(dy, x, gamma, rrms, needs=None):
    return (_rows(dy) * gamma * rrms[:, None]).reshape(x.shape), (_rows(dy) * _rows(x) * rrms[:, None]).sum(0)


@wrong("rmsnorm_backward", "rms_norm")
def rms_with_a_mean_term(dy, x, gamma, rrms, needs=None):
    dx, dgamma = k.rmsnorm_backward(dy, x, gamma, rrms)
    return dx - dx.mean(-1, keepdims=True), dgamma


@wrong("rmsnorm_backward", "rms_norm")
def rms_sum_in_place_of_mean(dy, x, gamma, rrms, needs=None):
    xhat, g = _rows(x) * rrms[:, None], _rows(dy) * gamma
    dx = rrms[:, None] * (g - xhat * (g * xhat).sum(-1)[:, None])
    return dx.reshape(x.shape), (_rows(dy) * xhat).sum(0)


@wrong("rmsnorm_backward", "rms_norm")
def rms_dgamma_without_xhat(dy, x, gamma, rrms, needs=None):
    return k.rmsnorm_backward(dy, x, gamma, rrms)[0], _rows(dy).sum(0)


# ---------------------------------------------------------------------------------------------------------------------
# products

@wrong("linear_backward", "linear")
def bias_gradient_missing(dy, x, weight, needs=(True,) * 3):
    dx, dweight, _ = k.linear_backward(dy, x, weight, needs)
    return dx, dweight, None


@wrong("linear_backward", "linear")
def bias_gradient_averaged(dy, x, weight, needs=(True,) * 3):
    dx, dweight, dbias = k.linear_backward(dy, x, weight, needs)
    return dx, dweight, None if dbias is None else dbias / _rows(dy).shape[0]


@wrong("linear_backward", "linear, square")
def weight_not_transposed(dy, x, weight, needs=(True,) * 3):
    dx, dweight, dbias = k.linear_backward(dy, x, weight, needs)
    return dy @ weight.T, dweight, dbias


@wrong("linear_backward", "linear, square")
def dweight_transposed(dy, x, weight, needs=(True,) * 3):
    dx, dweight, dbias = k.linear_backward(dy, x, weight, needs)
    return dx, dweight.T.copy(), dbias


@wrong("linear_backward", "linear")
def dweight_of_the_first_batch_only(dy, x, weight, needs=(True,) * 3):
    dx, dweight, dbias = k.linear_backward(dy, x, weight, needs)
    return dx, dy.reshape(-1, *dy.shape[-2:])[0].T @ x.reshape(-1, *x.shape[-2:])[0], dbias


@wrong("matmul_backward", "matmul")
def left_gradient_not_transposed(dy, x, y, needs=(True,) * 2):
    dx, dy_ = k.matmul_backward(dy, x, y, needs)
    return (dy @ y if y.shape[0] == y.shape[1] else dx), dy_


@wrong("matmul_backward", "matmul")
def right_factors_exchanged(dy, x, y, needs=(True,) * 2):
    dx, dy_ = k.matmul_backward(dy, x, y, needs)
    return dx, (dy.T @ x if x.ndim == 2 and x.shape == y.shape else dy_)


@wrong("matmul_backward", "matmul, broadcast")
def broadcast_sum_forgotten(dy, x, y, needs=(True,) * 2):
    return k.matmul_backward(dy, x, y, needs)[0], x[0].T @ dy[0]


# ---------------------------------------------------------------------------------------------------------------------
# embedding

@wrong("embedding_backward", "embedding")
def repeated_ids_dropped(dy, ids, rows, padding_idx):
    dweight = np.zeros((rows, dy.shape[-1]))
    dweight[ids.ravel()] += dy.reshape(-1, dy.shape[-1])
    return dweight


@wrong("embedding_backward", "embedding")
def repeated_ids_averaged(dy, ids, rows, padding_idx):
    count = np.maximum(np.bincount(ids.ravel(), minlength=rows), 1)
    return k.embedding_backward(dy, ids, rows, padding_idx) / count[:, None]


@wrong("embedding_backward", "embedding, padding")
def padding_row_learns(dy, ids, rows, padding_idx):
    return k.embedding_backward(dy, ids, rows, None)


@wrong("embedding_backward", "embedding")
def row_zero_is_always_padding(dy, ids, rows, padding_idx):
    return k.embedding_backward(dy, ids, rows, padding_idx or 0)


# ---------------------------------------------------------------------------------------------------------------------
# softmax, activations, dropout

@wrong("softmax_backward", "softmax")
def softmax_returns_zero(dy, y, axis):
    return np.zeros_like(y)


@wrong("softmax_backward", "softmax")
def softmax_diagonal_only(dy, y, axis):
    return dy * y * (1 - y)


@wrong("softmax_backward", "softmax")
def softmax_always_over_the_last_axis(dy, y, axis):
    return k.softmax_backward(dy, y, -1)


@wrong("softmax_backward", "softmax")
def softmax_mean_in_place_of_sum(dy, y, axis):
    return y * (dy - (dy * y).mean(axis, keepdims=True))


@wrong("log_softmax_backward", "log_softmax")
def log_softmax_without_its_sum(dy, y, axis):
    return dy - np.exp(y) * dy


@wrong("log_softmax_backward", "log_softmax")
def log_softmax_without_exp(dy, y, axis):
    return dy - y * dy.sum(axis, keepdims=True)


@wrong("gelu_backward", "gelu")
def derivative_of_the_other_gelu(dy, x, approximate):
    return k.gelu_backward(dy, x, "none" if approximate == "tanh" else "tanh")


@wrong("gelu_backward", "gelu")
def gelu_lacks_the_density(dy, x, approximate):
    return dy * np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)))(x)


@wrong("silu_backward", "silu")
def silu_product_rule_forgotten(dy, x):
    return dy / (1 + np.exp(-x))


@wrong("dropout_backward", "dropout")
def dropout_mask_not_replayed(dy, p, seed):
    return k.dropout_backward(dy, p, seed + 1)


@wrong("dropout_backward", "dropout")
def dropout_scale_forgotten(dy, p, seed):
    return k.dropout_backward(dy, p, seed) * (1 - p)


@wrong("dropout_backward", "dropout")
def dropout_forgotten(dy, p, seed):
    return dy.copy()


# ---------------------------------------------------------------------------------------------------------------------
# attention

def _attend(dy, q, keys, v, mask, y, lse, causal, scale, p, seed, needs):
    return list(k.attention_backward(dy, q, keys, v, mask, y, lse, causal, scale, p, seed, needs))


@wrong("attention_backward", "attention, square")
def dk_and_dv_swapped(*args):
    dq, dk, dv, dmask = _attend(*args)
    return dq, dv, dk, dmask


@wrong("attention_backward", "attention")
def dq_without_its_scale(*args):
    g = _attend(*args)
    return g[0] / args[8], *g[1:]


@wrong("attention_backward", "attention")
def scale_of_the_other_convention(*args):
    return tuple(_attend(*args[:8], 1 / math.sqrt(args[1].shape[-1]), *args[9:]))


@wrong("attention_backward", "attention")
def softmax_row_term_missing(*args):
    return tuple(_attend(*args[:5], np.zeros_like(args[5]), *args[6:]))


@wrong("attention_backward", "attention, causal")
def causal_mask_forgotten(*args):
    return tuple(_attend(*args[:7], False, *args[8:]))


@wrong("attention_backward", "attention, causal")
def causal_off_by_one(*args):
    q, keys = args[1], args[2]
    shifted = np.tri(q.shape[2], keys.shape[2], -1, dtype=bool)
    return tuple(_attend(*args[:4], shifted, *args[5:7], False, *args[8:]))


@wrong("attention_backward", "attention, causal")
def causal_aligned_at_the_end(*args):
    q, keys = args[1], args[2]
    aligned = np.tri(q.shape[2], keys.shape[2], keys.shape[2] - q.shape[2], dtype=bool)
    return tuple(_attend(*args[:4], aligned, *args[5:7], False, *args[8:]))


@wrong("attention_backward", "attention, bool mask")
def mask_forgotten_in_backward(*args):
    return tuple(_attend(*args[:4], None, *args[5:]))


@wrong("attention_backward", "attention, bool mask")
def mask_upside_down_in_backward(*args):
    mask = args[4]
    return tuple(_attend(*args[:4], ~mask if mask is not None and mask.dtype == bool else mask, *args[5:]))


@wrong("attention_backward", "attention, bool mask")
def mask_applied_after_softmax(dy, q, keys, v, mask, y, lse, causal, scale, p, seed, needs):
    s = scale * q @ keys.swapaxes(-1, -2)
    probs = np.exp(s - s.max(-1, keepdims=True))
    probs = probs / probs.sum(-1, keepdims=True) * (1 if mask is None else mask)
    dp = dy @ v.swapaxes(-1, -2)
    ds = probs * (dp - (dp * probs).sum(-1, keepdims=True))
    return scale * ds @ keys, scale * ds.swapaxes(-1, -2) @ q, probs.swapaxes(-1, -2) @ dy, None


@wrong("attention_backward", "attention, float mask")
def mask_gradient_not_summed_over_heads(*args):
    g = _attend(*args)
    return *g[:3], None if g[3] is None else g[3] / args[1].shape[1]


@wrong("attention_backward", "attention, grouped heads")
def grouped_heads_not_summed(*args):
    dq, dk, dv, dmask = _attend(*args)
    H, G = args[1].shape[1], args[2].shape[1]
    every = slice(None, None, H // G)
    if H == G:
        return dq, dk, dv, dmask
    few = _attend(args[0][:, every], args[1][:, every], *args[2:5], args[5][:, every], args[6][:, every], *args[7:])
    return dq, few[1], few[2], dmask


@wrong("attention_backward", "attention, dropout")
def attention_dropout_not_replayed(*args):
    return tuple(_attend(*args[:10], args[10] + 1, args[11]))


@wrong("attention_backward", "attention, dropout")
def attention_dropout_forgotten(*args):
    return tuple(_attend(*args[:9], 0.0, *args[10:]))


# ---------------------------------------------------------------------------------------------------------------------
# ffn, residual

@wrong("ffn_backward", "ffn, gelu", "ffn, silu")
def activation_derivative_at_the_output(dy, x, w1, w2, pre, activation, p, seed, needs=None):
    from minitorch.kernels.reference.ffn import _activate
    g = (_rows(dy) @ w2) * _activate(_activate(pre, activation)[0], activation)[1]
    right = k.ffn_backward(dy, x, w1, w2, pre, activation, p, seed)
    return (g @ w1).reshape(x.shape), g.T @ _rows(x), g.sum(0), *right[3:]


@wrong("ffn_backward", "ffn")
def activation_derivative_forgotten(dy, x, w1, w2, pre, activation, p, seed, needs=None):
    g = _rows(dy) @ w2
    right = k.ffn_backward(dy, x, w1, w2, pre, activation, p, seed)
    return (g @ w1).reshape(x.shape), g.T @ _rows(x), g.sum(0), *right[3:]


@wrong("ffn_backward", "ffn")
def dw2_from_before_the_activation(dy, x, w1, w2, pre, activation, p, seed, needs=None):
    g = list(k.ffn_backward(dy, x, w1, w2, pre, activation, p, seed))
    g[3] = _rows(dy).T @ pre
    return tuple(g)


@wrong("ffn_backward", "ffn, dropout")
def ffn_dropout_forgotten_in_dw2(dy, x, w1, w2, pre, activation, p, seed, needs=None):
    g = list(k.ffn_backward(dy, x, w1, w2, pre, activation, p, seed))
    g[3] = k.ffn_backward(dy, x, w1, w2, pre, activation, 0.0, seed)[3]
    return tuple(g)


@wrong("ffn_backward", "ffn")
def db1_averaged(dy, x, w1, w2, pre, activation, p, seed, needs=None):
    g = list(k.ffn_backward(dy, x, w1, w2, pre, activation, p, seed))
    g[2] = g[2] / len(pre)
    return tuple(g)


@wrong("residual_backward", "residual add")
def residual_path_dropped(dy, p, seed, needs=(True,) * 3):
    dx, df, dbias = k.residual_backward(dy, p, seed, needs)
    return None, df, dbias


@wrong("residual_backward", "residual add, x to itself")
def x_plus_x_counted_once(dy, p, seed, needs=(True,) * 3):
    dx, df, dbias = k.residual_backward(dy, p, seed, needs)
    return dx, None, dbias


@wrong("residual_backward", "residual add, dropout")
def residual_path_dropped_out_too(dy, p, seed, needs=(True,) * 3):
    dx, df, dbias = k.residual_backward(dy, p, seed, needs)
    return df, df, dbias


@wrong("residual_backward", "residual add, dropout")
def residual_bias_before_dropout(dy, p, seed, needs=(True,) * 3):
    dx, df, dbias = k.residual_backward(dy, p, seed, needs)
    return dx, df, _rows(dy).sum(0)


# ---------------------------------------------------------------------------------------------------------------------
# losses

def _ce(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    return k.cross_entropy_backward(dy, logits, labels, weight, top, others, ignore_index, smoothing)


@wrong("cross_entropy_backward", "cross_entropy")
def label_smoothing_ignored(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    return _ce(dy, logits, labels, weight, top, others, ignore_index, 0.0)


@wrong("cross_entropy_backward", "cross_entropy, ignore_index")
def ignored_rows_counted(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    return _ce(dy, logits, np.where(labels == ignore_index, 0, labels), weight, top, others, ignore_index, smoothing)


@wrong("cross_entropy_backward", "cross_entropy, class weights")
def class_weights_forgotten(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    return _ce(dy, logits, labels, None, top, others, ignore_index, smoothing)


@wrong("cross_entropy_backward", "cross_entropy, sum")
def mean_in_place_of_sum(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    return _ce(dy, logits, labels, weight, top, others, ignore_index, smoothing) / len(labels)


@wrong("cross_entropy_backward", "cross_entropy")
def one_hot_not_subtracted(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    return np.exp(logits - top[:, None]) / (1 + others[:, None]) * dy[:, None] * (labels != ignore_index)[:, None]


@wrong("cross_entropy_backward", "cross_entropy, none")
def upstream_gradient_ignored(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    return _ce(np.ones_like(dy), logits, labels, weight, top, others, ignore_index, smoothing)


@wrong("projection_backward", "softmax projection")
def last_chunk_dropped(dy, x, weight, bias, labels, top, others, ignore_index, smoothing, needs=None):
    last = np.where(np.arange(len(labels)) == len(labels) - 1, ignore_index, labels)
    return k.projection_backward(dy, x, weight, bias, last, top, others, ignore_index, smoothing)


@wrong("projection_backward", "softmax projection")
def dx_and_dweight_swapped(dy, x, weight, bias, labels, top, others, ignore_index, smoothing, needs=None):
    dx, dweight, dbias = k.projection_backward(dy, x, weight, bias, labels, top, others, ignore_index, smoothing)
    return dweight, dx, dbias


@wrong("projection_backward", "softmax projection")
def projection_smoothing_ignored(dy, x, weight, bias, labels, top, others, ignore_index, smoothing, needs=None):
    return k.projection_backward(dy, x, weight, bias, labels, top, others, ignore_index, 0.0)


@wrong("projection_backward", "softmax projection")
def projection_bias_gradient_missing(dy, x, weight, bias, labels, top, others, ignore_index, smoothing, needs=None):
    return *k.projection_backward(dy, x, weight, bias, labels, top, others, ignore_index, smoothing)[:2], np.zeros_like(bias)


# ---------------------------------------------------------------------------------------------------------------------
# rotary positions

@wrong("rotary_backward", "rotary")
def turned_on_instead_of_back(dy, cos, sin, needs=None):
    return (k.rotary_forward(dy, cos, sin),)


@wrong("rotary_backward", "rotary")
def neighbours_turned_back(dy, cos, sin, needs=None):
    a, b = dy[..., 0::2], dy[..., 1::2]
    return (np.stack([a * cos + b * sin, b * cos - a * sin], -1).reshape(dy.shape),)


@wrong("rotary_backward", "rotary")
def second_half_forgotten(dy, cos, sin, needs=None):
    dx = k.rotary_forward(dy, cos, -sin)
    dx[..., dy.shape[-1] // 2:] = dy[..., dy.shape[-1] // 2:]
    return (dx,)


# ---------------------------------------------------------------------------------------------------------------------
# convolution, pooling, batch_norm

@wrong("conv2d_backward", "conv2d, stride")
def stride_forgotten(dy, x, weight, stride, padding, dilation, groups, needs=None):
    spread = np.zeros_like(dy)
    spread[:, :, :1] = dy[:, :, :1]
    dx, dweight, db = k.conv2d_backward(dy, x, weight, stride, padding, dilation, groups)
    return k.conv2d_backward(spread, x, weight, stride, padding, dilation, groups)[0], dweight, db


@wrong("conv2d_backward", "conv2d")
def kernel_turned_round(dy, x, weight, stride, padding, dilation, groups, needs=None):
    dx, dweight, db = k.conv2d_backward(dy, x, weight, stride, padding, dilation, groups)
    return k.conv2d_backward(dy, x, weight[..., ::-1, ::-1], stride, padding, dilation, groups)[0], dweight, db


@wrong("conv2d_backward", "conv2d, square")
def outputs_and_channels_swapped(dy, x, weight, stride, padding, dilation, groups, needs=None):
    dx, dweight, db = k.conv2d_backward(dy, x, weight, stride, padding, dilation, groups)
    return k.conv2d_backward(dy, x, weight.swapaxes(0, 1), stride, padding, dilation, groups)[0], dweight, db


@wrong("conv2d_backward", "conv2d, stride")
def padding_on_the_wrong_side(dy, x, weight, stride, padding, dilation, groups, needs=None):
    return k.conv2d_backward(dy, x, weight, stride, tuple((b, a) for a, b in padding), dilation, groups)


@wrong("conv2d_backward", "conv2d")
def frame_not_cut_off(dy, x, weight, stride, padding, dilation, groups, needs=None):
    dx, dweight, db = k.conv2d_backward(dy, x, weight, stride, padding, dilation, groups)
    return np.roll(dx, padding[0][0], 2), dweight, db


@wrong("conv2d_backward", "conv2d")
def overlapping_windows_do_not_add_up(dy, x, weight, stride, padding, dilation, groups, needs=None):
    dx, dweight, db = k.conv2d_backward(dy, x, weight, stride, padding, dilation, groups)
    return dx / max(1, weight.shape[2] * weight.shape[3]), dweight, db


@wrong("conv2d_backward", "conv2d, stride")
def groups_exchanged(dy, x, weight, stride, padding, dilation, groups, needs=None):
    dx, dweight, db = k.conv2d_backward(dy, x, weight, stride, padding, dilation, groups)
    return dx, np.roll(dweight, len(weight) // groups, 0) if groups > 1 else dweight, db


@wrong("conv2d_backward", "conv2d")
def bias_gradient_of_one_picture(dy, x, weight, stride, padding, dilation, groups, needs=None):
    return *k.conv2d_backward(dy, x, weight, stride, padding, dilation, groups)[:2], dy[0].sum((1, 2))


@wrong("max_pool2d_backward", "max_pool2d, overlapping")
def winner_of_two_windows_paid_once(dy, at, shape):
    dx = np.zeros((shape[0] * shape[1], shape[2] * shape[3]))
    np.put_along_axis(dx, at.reshape(len(dx), -1), dy.reshape(len(dx), -1), 1)
    return dx.reshape(shape)


@wrong("max_pool2d_backward", "max_pool2d")
def every_channel_uses_the_first_ones_places(dy, at, shape):
    return k.max_pool2d_backward(dy, np.broadcast_to(at[:, :1], at.shape), shape)


@wrong("avg_pool2d_backward", "avg_pool2d")
def padding_not_counted(dy, rows, columns, shape):
    rows, columns = (np.stack([a, b, b - a]) for a, b, _ in (rows, columns))
    return k.avg_pool2d_backward(dy, rows, columns, shape)


@wrong("avg_pool2d_backward", "avg_pool2d")
def sum_instead_of_mean(dy, rows, columns, shape):
    rows, columns = (np.stack([a, b, np.ones_like(n)]) for a, b, n in (rows, columns))
    return k.avg_pool2d_backward(dy, rows, columns, shape)


@wrong("batchnorm_backward", "batch_norm")
def statistics_taken_for_constants(dy, x, gamma, mean, var, eps, training, needs=None):
    return k.batchnorm_backward(dy, x, gamma, mean, var, eps, False)


@wrong("batchnorm_backward", "batch_norm, evaluation")
def constants_taken_for_statistics(dy, x, gamma, mean, var, eps, training, needs=None):
    return k.batchnorm_backward(dy, x, gamma, mean, var, eps, True)


@wrong("batchnorm_backward", "batch_norm")
def unbiased_variance_in_backward(dy, x, gamma, mean, var, eps, training, needs=None):
    n = x.size // x.shape[1]
    return k.batchnorm_backward(dy, x, gamma, mean, var * n / (n - 1), eps, training)


@wrong("batchnorm_backward", "batch_norm")
def batch_norm_without_eps(dy, x, gamma, mean, var, eps, training, needs=None):
    return k.batchnorm_backward(dy, x, gamma, mean, var, 0.0, training)


# ---------------------------------------------------------------------------------------------------------------------
# PyTorch's default tolerance, for comparison

def test_a_tolerance_of_a_thousandth_would_let_one_pass():
    rng = np.random.default_rng(0)
    x = mt.tensor(rng.normal(size=(4, 5)), requires_grad=True)
    gamma, beta = mt.tensor(rng.normal(size=5)), mt.tensor(rng.normal(size=5))
    with mt.kernels.use(planted(layernorm_backward=off_by_a_twentieth_of_a_percent)):
        norm = lambda x: LayerNorm.apply(x, gamma, beta, eps=EPS)
        assert check(norm, x, rtol=1e-3, atol=1e-5).ok
        assert not check(norm, x).ok


# ---------------------------------------------------------------------------------------------------------------------
# the test

@pytest.mark.parametrize("kernel, function, layers", ZOO)
def test_caught(kernel, function, layers):
    report = first_complaint(planted(**{kernel: function}), layers)
    assert report is not None, "this wrong backward pass was not noticed"
    assert str(report).startswith("gradcheck: ")


def test_the_clean_kernels_pass():
    assert first_complaint(planted(), tuple(layer.name for layer in LAYERS)) is None


def test_there_are_enough():
    assert len(ZOO) >= 80
