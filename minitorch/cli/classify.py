"""``minitorch classify``: let a trained model sort sentences into classes."""

from __future__ import annotations

import shutil
import sys

import numpy as np

from minitorch.autograd import no_grad
from minitorch.cli import Usage
from minitorch.cli.saved import device_argument, open_model, texts_from
from minitorch.ops import softmax

__all__ = ["arguments", "run"]

EXAMPLES = """\
Let a trained model sort sentences into classes, and say how sure it is.

  minitorch train sentiment                                     first: a minute or two
  minitorch classify sentiment "The soup was cold, but I loved it."
  minitorch classify sentiment < reviews.txt                    one sentence a line
"""


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.add_argument("model", metavar="RUN|FOLDER", help="a run, or a folder with a BERT that has a classifier")
    parser.add_argument("text", nargs="*", help="sentences (else one a line from the piped input)")
    device_argument(parser)


def run(args) -> int:
    """Print each sentence with the probability of each class; return the exit code."""
    model, tokenizer = open_model(args.model, lambda m: getattr(m, "classifier", None) is not None,
                                  "sort texts into classes", "sentiment", args.device)
    texts = texts_from(args.text, sys.stdin, f'minitorch classify {args.model} "What a fine day."')
    names = _names(model.config)
    wide = max(map(len, names))
    room = max(10, min(40, shutil.get_terminal_size().columns - wide - 12))
    longest = model.config.max_position_embeddings
    for text in texts:
        ids = tokenizer.encode(text)
        if len(ids) > longest:
            print(f"minitorch classify: only the first {longest} of {len(ids)} pieces are read", file=sys.stderr)
            ids = ids[:longest - 1] + ids[-1:]
        if max(ids) >= model.config.vocab_size:
            raise Usage(f"{args.model}: the tokenizer has more ids than the model; they do not belong together")
        with no_grad():
            p = softmax(model.classify([ids]), -1).cpu().numpy()[0]
        if p.ndim > 1:
            raise Usage(f"{args.model} sorts each word by itself, not whole texts")
        print(text)
        for i in np.argsort(-p, kind="stable"):
            bar = "█" * round(float(p[i]) * room)
            print(f"  {names[i]:<{wide}} {p[i]:6.1%} {bar}".rstrip())
    return 0


def _names(config) -> list[str]:
    """What the classes are called."""
    names = config.extra.get("id2label") or {}
    return [str(names.get(str(i), names.get(i, f"class {i}"))) for i in range(config.num_labels or 2)]
