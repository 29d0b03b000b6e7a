"""Convolution as matrix products of bounded blocks: windows × kernels, each block gathered and multiplied while in cache.

Pictures are first turned to (group, n, h, w, channel), padding included: then a row of a window is one run of numbers,
whatever the stride, and gathering a block of windows is copying runs. A block has as many windows as fit a cache, from as
many pictures as it takes, so that small pictures make large products, too. All cuts are made by shape: same bits for any
number of threads. Where each window has few products, none is gathered: see ``_slide``.
"""

import numpy as np

from .. import reference
from ._blas import TILE, WHOLE, in_tiles, one_thread, turned
from ._jit import CHUNKS, jit, ready, spread
from ._slide import is_narrow, slide, slide_weights

__all__ = ["conv2d_backward", "conv2d_forward"]

BLOCK = 1 << 17    # numbers in a block of windows: with its product it fits a second-level cache
FEWEST, MOST = 128, 1024    # windows in a block
PARTS = 1 << 22    # numbers in all partial sums of the weights' gradient together
ENOUGH = 8         # tasks, where there is enough to do


def conv2d_forward(x, weight, bias, stride, padding, dilation, groups):
    if not (x.size and weight.size):
        return reference.conv2d_forward(x, weight, bias, stride, padding, dilation, groups)
    geometry = _geometry(x, weight, stride, padding, dilation, groups)
    bias = np.zeros(len(weight), x.dtype) if bias is None else ready(bias, x.dtype)
    if is_narrow(weight.shape, stride, groups, geometry[1], geometry[-1]):
        y = np.empty((len(x), len(weight), *geometry[-2:]), x.dtype)
        slide(x, weight, bias, padding, dilation, y)
        return y
    y = np.empty((len(x), groups, len(weight) // groups, geometry[-2] * geometry[-1]), x.dtype)
    windows = len(x) * y.shape[3]
    blocks = max(_blocks(windows, geometry), min(ENOUGH // groups, windows // 64))
    with one_thread():
        pieces = min(groups * blocks, CHUNKS)
        _forward(pieces, _turned(x, groups, padding, geometry), turned(_kernels(weight, groups), TILE), bias, geometry,
                 blocks, pieces, TILE, y)
    return y.reshape(len(x), len(weight), *geometry[-2:])


def conv2d_backward(dy, x, weight, stride, padding, dilation, groups, needs=(True, True, True)):
    if not (x.size and weight.size):
        return reference.conv2d_backward(dy, x, weight, stride, padding, dilation, groups, needs)
    dx = dweight = dbias = None
    geometry = _geometry(x, weight, stride, padding, dilation, groups)
    dy = ready(dy)
    if needs[1] or needs[2]:
        if is_narrow(weight.shape, stride, groups, geometry[1], geometry[-1]):
            dweight, dbias = slide_weights(x, dy, weight, padding, dilation)
        if dweight is None or not np.isfinite(dweight).all():   # an infinity was slid over what is not kept
            dweight, dbias = _of_weights(dy, x, weight, padding, groups, geometry, needs[1])
    if needs[0]:
        dx = _of_pictures(dy, x, weight, stride, padding, dilation, groups, geometry)
    return dx, dweight if needs[1] else None, dbias if needs[2] else None


def _of_weights(dy, x, weight, padding, groups, geometry, wanted):
    """The gradients of the weights, if they are wanted, and of the bias."""
    n, o = dy.shape[:2]
    dy = dy.reshape(n, groups, o // groups, -1)
    blocks = _blocks(n * dy.shape[3], geometry)
    chunks = max(1, min(CHUNKS // groups, blocks, PARTS // weight.size))
    slices = max(1, min(o // groups // 64, ENOUGH // (groups * chunks)))
    parts = np.empty((chunks, groups, o // groups, weight.size // o) if wanted else (chunks, groups, 0, 0), x.dtype)
    bias_parts = np.zeros((chunks, o))
    pictures = _turned(x, groups, padding, geometry) if wanted else np.empty((groups, 0), x.dtype)
    with one_thread():
        _weights(chunks * groups * slices, pictures, dy, geometry, blocks, slices, TILE, parts, bias_parts)
    dweight = None
    if wanted:
        dweight = parts.sum(0).reshape(o, *weight.shape[2:], weight.shape[1])
        dweight = np.ascontiguousarray(dweight.transpose(0, 3, 1, 2))
    return dweight, bias_parts.sum(0).astype(x.dtype)


def _of_pictures(dy, x, weight, stride, padding, dilation, groups, geometry):
    """The gradient of the pictures: a convolution, too, with the weights turned round, which is quicker for few outputs."""
    (n, c), o = x.shape[:2], len(weight)
    around = [[(k - 1) * d - p for p in sides] for k, d, sides in zip(weight.shape[2:], dilation, padding)]
    shape = c, o // groups, *weight.shape[2:]
    if min(map(min, around)) >= 0 and is_narrow(shape, stride, groups, dy.shape[3] + sum(around[1]), x.shape[3]):
        turned = weight.reshape(groups, o // groups, c // groups, *shape[2:]).swapaxes(1, 2)[..., ::-1, ::-1]
        return conv2d_forward(dy, turned.reshape(shape), None, stride, around, dilation, groups)
    dy = dy.reshape(n, groups, o // groups, -1)
    # few pictures are cut by channels, for there to be enough tasks
    cuts = next(k for k in (8, 4, 2, 1) if (c // groups) % k == 0 and (k == 1 or n * groups * k <= ENOUGH))
    geometry = (*geometry[:2], c // groups // cuts, *geometry[3:])
    turned = np.zeros((groups * cuts, n * geometry[0] * geometry[1] * geometry[2]), x.dtype)
    chunks = max(1, min(n, CHUNKS // (groups * cuts)))
    with one_thread():
        _pictures(groups * cuts * chunks, dy, _kernels(weight, groups, cuts), geometry, chunks, TILE, turned)
    dx = np.empty(x.shape, x.dtype)
    (top, _), (left, _) = padding
    _turn(n * groups * cuts, dx, turned, groups * cuts, geometry[0], geometry[1], top, left, True)
    return dx


def _geometry(x, weight, stride, padding, dilation, groups):
    """Height, width and channels of a turned picture; the kernel's, the stride's, the dilation's; output height, width."""
    size = [n + a + b for n, (a, b) in zip(x.shape[2:], padding)]
    out = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(size, weight.shape[2:], dilation, stride)]
    return (*size, x.shape[1] // groups, *weight.shape[2:], *stride, *dilation, *out)


def _turned(x, groups, padding, geometry):
    """(n, c, h, w) → (groups, n · h · w · c / groups), with the padding."""
    (top, bottom), (left, right) = padding
    fresh = np.zeros if top or bottom or left or right else np.empty
    turned = fresh((groups, len(x) * geometry[0] * geometry[1] * geometry[2]), x.dtype)
    _turn(len(x) * groups, ready(x), turned, groups, geometry[0], geometry[1], top, left, False)
    return turned


def _kernels(weight, groups, cuts=1):
    """(o, c / groups, kh, kw) → (groups · cuts, o / groups, kh · kw · c / groups / cuts), ordered as a window's numbers."""
    o, c, kh, kw = weight.shape
    turned = weight.reshape(groups, o // groups, cuts, c // cuts, kh, kw).transpose(0, 2, 1, 4, 5, 3)
    return ready(turned).reshape(groups * cuts, o // groups, -1)


def _blocks(windows, geometry):
    """Into how many blocks the windows are cut."""
    numbers = geometry[2] * geometry[3] * geometry[4]
    return -(-windows // min(MOST, max(FEWEST, BLOCK // numbers)))


@spread
def _turn(task, x, turned, groups, height, width, top, left, back):
    """Copy (n, c, h, w) to (groups, n, height, width, c / groups), or back; 8 channels at a time, row by row."""
    n, c, h, w = x.shape
    size = c // groups
    picture, g = task // groups, task % groups
    for r in range(h):
        start = ((picture * height + r + top) * width + left) * size
        row = turned[g, start:start + w * size]
        for c0 in range(0, size, 8):
            count = min(8, size - c0)
            if back:
                for k in range(count):
                    out = x[picture, g * size + c0 + k, r]
                    for j in range(len(out)):
                        out[j] = row[j * size + c0 + k]
            else:
                for k in range(count):
                    line = x[picture, g * size + c0 + k, r]
                    for j in range(len(line)):
                        row[j * size + c0 + k] = line[j]


@spread
def _forward(piece, pictures, kernels, bias, geometry, blocks, pieces, tile, y):
    n, groups, o, positions = y.shape
    numbers = geometry[2] * geometry[3] * geometry[4]
    tasks, one = groups * blocks, y.dtype.type(1)
    longest = n * positions // blocks + 1
    windows, product = np.empty((longest, numbers), y.dtype), np.empty((longest, o), y.dtype)
    for task in range(piece * tasks // pieces, (piece + 1) * tasks // pieces):
        g, block = task // blocks, task % blocks
        q0, q1 = block * n * positions // blocks, (block + 1) * n * positions // blocks
        # passes 1 and 2: the windows; each times each kernel
        if _pixels(geometry):
            pixels = pictures[g, q0 * geometry[2]:q1 * geometry[2]].reshape(q1 - q0, geometry[2])
            in_tiles(one, pixels, False, kernels[g], tile == WHOLE, one - one, product[:q1 - q0], tile)
        else:
            _gather(pictures[g], q0, q1, geometry, windows)
            in_tiles(one, windows[:q1 - q0], False, kernels[g], tile == WHOLE, one - one, product[:q1 - q0], tile)
        # pass 3: the bias
        q = q0
        while q < q1:
            picture, p = q // positions, q % positions
            count = min(positions - p, q1 - q)
            for j0 in range(0, count, 16):      # 16 of each kernel: float32's fill a cache line
                for i in range(o):
                    b, first, place = bias[g * o + i], np.uintp(q - q0 + j0), np.uintp(p + j0)
                    for j in range(np.uintp(min(16, count - j0))):
                        y[picture, g, i, place + j] = product[first + j, i] + b
            q += count


@spread
def _weights(task, pictures, dy, geometry, blocks, slices, tile, parts, bias_parts):
    n, groups, o, positions = dy.shape
    chunks, one = len(parts), dy.dtype.type(1)
    chunk, g, part = task // (groups * slices), task // slices % groups, task % slices
    o0, o1 = part * o // slices, (part + 1) * o // slices
    longest = n * positions // blocks + 1
    windows, held = np.empty((longest, parts.shape[3]), dy.dtype), np.empty((o1 - o0, longest), dy.dtype)
    first = chunk * blocks // chunks
    for block in range(first, (chunk + 1) * blocks // chunks):
        q0, q1 = block * n * positions // blocks, (block + 1) * n * positions // blocks
        _take(dy, g, o0, o1, q0, q1, held)
        # pass 3 backward: the bias was added everywhere
        for i in range(o1 - o0):
            total, row = 0.0, held[i, :q1 - q0]
            for j in range(len(row)):
                total += np.float64(row[j])
            bias_parts[chunk, g * o + o0 + i] += total
        # pass 2 backward: a weight met every window
        if parts.shape[3] > 0:
            beta = one - one if block == first else one
            if _pixels(geometry):
                pixels = pictures[g, q0 * geometry[2]:q1 * geometry[2]].reshape(q1 - q0, geometry[2])
                in_tiles(one, held[:, :q1 - q0], False, pixels, False, beta, parts[chunk, g, o0:o1], tile)
            else:
                _gather(pictures[g], q0, q1, geometry, windows)
                in_tiles(one, held[:, :q1 - q0], False, windows[:q1 - q0], False, beta, parts[chunk, g, o0:o1], tile)


@spread
def _pictures(task, dy, kernels, geometry, chunks, tile, turned):
    n, groups, o, positions = dy.shape
    pieces, one = len(kernels), dy.dtype.type(1)
    piece, chunk = task // chunks, task % chunks
    first, last = chunk * n // chunks * positions, (chunk + 1) * n // chunks * positions
    longest = min(MOST, max(FEWEST, BLOCK // kernels.shape[2]), last - first)
    windows, held = np.empty((longest, kernels.shape[2]), dy.dtype), np.empty((o, longest), dy.dtype)
    for q0 in range(first, last, longest):
        q1 = min(last, q0 + longest)
        # pass 2 backward: a window met every kernel
        _take(dy, piece // (pieces // groups), 0, o, q0, q1, held)
        in_tiles(one, held[:, :q1 - q0], True, kernels[piece], False, one - one, windows[:q1 - q0], tile)
        # pass 1 backward: where windows overlap, what comes to them adds up
        _scatter(windows, q0, q1, geometry, turned[piece])


@jit
def _pixels(geometry):
    """Is a window a single pixel, and does every pixel have its window? Then nothing needs to be gathered."""
    height, width, c, kh, kw, sh, sw, dh, dw, rows, columns = geometry
    return kh * kw == 1 and height == rows and width == columns


@jit
def _take(dy, g, o0, o1, q0, q1, held):
    """dy (n, groups, o, positions) → (o1 − o0, q1 − q0)."""
    positions = dy.shape[3]
    q = q0
    while q < q1:
        picture, p = q // positions, q % positions
        count = min(positions - p, q1 - q)
        for i in range(o1 - o0):
            source, target = dy[picture, g, o0 + i, p:p + count], held[i, q - q0:q - q0 + count]
            for j in range(len(target)):
                target[j] = source[j]
        q += count


@jit
def _gather(picture, q0, q1, geometry, windows):
    """Windows q0 … q1, a row for each: (kh, kw, channels)."""
    height, width, c, kh, kw, sh, sw, dh, dw, rows, columns = geometry
    run, runs = (kw * c, 1) if dw == 1 else (c, kw)
    for q in range(q0, q1):
        place, s = q // columns, q % columns
        corner = ((place // rows * height + place % rows * sh) * width + s * sw) * c
        window, to = windows[q - q0], 0
        for i in range(kh):
            for j in range(runs):
                at = corner + (i * dh * width + j * dw) * c
                source, target = picture[at:at + run], window[to:to + run]
                for k in range(len(target)):
                    target[k] = source[k]
                to += run


@jit
def _scatter(windows, q0, q1, geometry, picture):
    """Add each window to the place in the picture where it was gathered."""
    height, width, c, kh, kw, sh, sw, dh, dw, rows, columns = geometry
    run, runs = (kw * c, 1) if dw == 1 else (c, kw)
    for q in range(q0, q1):
        place, s = q // columns, q % columns
        corner = ((place // rows * height + place % rows * sh) * width + s * sw) * c
        window, to = windows[q - q0], 0
        for i in range(kh):
            for j in range(runs):
                at = corner + (i * dh * width + j * dw) * c
                source, target = window[to:to + run], picture[at:at + run]
                for k in range(len(target)):
                    target[k] += source[k]
                to += run
