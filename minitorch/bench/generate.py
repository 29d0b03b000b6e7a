"""Writing on: tokens a second of a small GPT, next to Hugging Face's ``transformers`` (in the column of PyTorch).

One prompt is read, and a model of a usual small size adds one token after another, each the likeliest. Both sides have
equal weights, keep keys and values in a cache, and must choose the same tokens. Times are those of ``NEW`` tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from types import SimpleNamespace
from zlib import crc32

import numpy as np

__all__ = ["CONFIGS", "NEW", "cases", "measure", "prepare"]

NEW = 50
CONFIGS = [         # vocabulary, layers, heads, d
    (65, 4, 4, 128),
    (65, 6, 6, 384),
    (8192, 6, 6, 384),
]
QUICK = [(65, 2, 2, 32)]


def cases(quick: bool = False) -> list[dict]:
    """Every size.

    >>> cases(quick=True)[0]["size"]
    '65, 2, 2, 32'
    """
    return [{"name": f"GPT, {NEW} tokens", "size": ", ".join(map(str, config)), "cache": True,
             **dict(zip("VLHd", config, strict=True))} for config in (QUICK if quick else CONFIGS)]


def measure(cases: Sequence[dict], sides: Sequence[str], threads: int, rounds: int,
            tick: Callable[..., object] = lambda text, rounds=1: None, device: str = "cpu") -> Iterator[list]:
    """Every case on every side, in turns: A B A B. Without ``transformers``, minitorch alone is measured."""
    process, turns = import_module("minitorch.bench.process"), import_module("minitorch.bench.compare")
    sides = [side for side in sides if side == turns.OURS or side == "torch" and process.is_installed("transformers")]
    with ExitStack() as stack:
        workers = [stack.enter_context(process.Worker(side, threads, device)) for side in sides]
        yield from turns.compare("generate", "generate", workers, cases, rounds, tick)


def prepare(library, case: dict):
    """A function that writes ``NEW`` tokens, and which tokens they are."""
    c = SimpleNamespace(**case)
    config = {"vocab_size": c.V, "n_positions": 256, "n_embd": c.d, "n_layer": c.L, "n_head": c.H,
              "bos_token_id": None, "eos_token_id": None}
    prompt = np.random.default_rng(1).integers(0, c.V, (1, 8))
    new = getattr(c, "new", NEW)
    write = (_transformers if library.name == "torch" else _minitorch)(library.torch, config, prompt, new)
    return write, {"losses": [float(i) for i in write()]}


def _minitorch(torch, config, prompt, new=NEW):
    models = import_module("minitorch.models")
    gpt = models.GPT(models.GPTConfig(**config))
    _fill(torch, gpt, "")
    return lambda: gpt.generate(prompt, new, temperature=0).cpu().numpy()[0]


def _transformers(torch, config, prompt, new=NEW):
    transformers = import_module("transformers")
    transformers.logging.set_verbosity_error()
    gpt = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config)).eval()
    _fill(torch, gpt, "transformer.")
    ids = torch.from_numpy(prompt).to(gpt.device)
    every = torch.ones_like(ids)
    return lambda: gpt.generate(ids, attention_mask=every, max_new_tokens=new, do_sample=False,
                                pad_token_id=0)[0].cpu().numpy()


def _fill(torch, model, prefix):
    """The same weights on both sides: each parameter's come from NumPy, seeded by its name. Large, so that no two scores
    are so close that rounding decides."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            numbers = np.random.default_rng(crc32(name.removeprefix(prefix).encode())).standard_normal(tuple(p.shape))
            p.copy_(torch.from_numpy(0.1 * numbers + (len(p.shape) == 1 and name.endswith("weight"))))
