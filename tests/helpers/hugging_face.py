"""Tiny random models of Hugging Face, saved to a folder, and their gradients next to ours."""

import contextlib
import io

import numpy as np
import pytest

__all__ = ["agree", "back_again", "numbers", "saved", "transformers"]


def transformers():
    """The library, quiet; the test is skipped where it or PyTorch is not installed."""
    pytest.importorskip("torch")
    library = pytest.importorskip("transformers")
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    return library


def saved(model, folder, **settings):
    """The same model with larger random weights everywhere (biases, too), in evaluation mode and in a folder."""
    import torch
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    with contextlib.redirect_stderr(io.StringIO()):
        model.eval().save_pretrained(folder, **settings)
    return model


def back_again(kind, folder):
    """What ``transformers`` makes of a folder: nothing may be missing, nothing left over."""
    with contextlib.redirect_stderr(io.StringIO()):
        model, info = kind.from_pretrained(folder, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[what], f"{what}: {info[what]}"
    return model.eval()


def numbers(x):
    return x.detach().cpu().numpy()


def agree(theirs, ours, pairs, prefix="", tolerance=1e-4, counts=None):
    """Equal outputs, and equal gradients of every parameter when random weights go backward from them.

    pairs: (their output, our output). counts: where outputs are compared (not at padding).
    """
    import torch

    import minitorch
    rng = np.random.default_rng(5)
    their_sum = our_sum = 0
    for a, b in pairs:
        at = np.ones(a.shape)
        if counts is not None and a.ndim > 2:
            at *= counts[:, :, None]
        assert tuple(b.shape) == tuple(a.shape)
        assert np.abs((numbers(a) - b.detach().numpy()) * at).max() < tolerance
        dy = np.asarray(rng.standard_normal(a.shape) * at, b.dtype)
        their_sum, our_sum = their_sum + (a * torch.from_numpy(dy)).sum(), our_sum + (b * minitorch.tensor(dy)).sum()
    their_sum.backward()
    our_sum.backward()
    mine = dict(ours.named_parameters())
    for name, p in theirs.named_parameters():
        own = mine.pop(name.removeprefix(prefix))
        if p.grad is None:
            assert own.grad is None, name
            continue
        assert own.grad is not None, name
        largest = max(1.0, float(p.grad.abs().max()))
        assert np.abs(numbers(p.grad) - own.grad.numpy()).max() < tolerance * largest, name
    assert not mine, f"only ours: {list(mine)}"
