"""``minitorch translate``: let a trained encoder-decoder rewrite texts, and see what it looks at."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from minitorch.cli import Usage
from minitorch.cli.saved import device_argument, open_model, texts_from

__all__ = ["arguments", "run"]

EXAMPLES = """\
Let a trained encoder-decoder rewrite texts.

  minitorch train modern-spelling                              first: it takes minutes
  minitorch translate modern-spelling haue murther foole       words of the First Folio in modern spelling
  minitorch translate modern-spelling --beams 4 < words.txt    one text a line
  minitorch translate modern-spelling heauenly --attention picture.png

The picture shows the cross-attention: what the decoder looks at in the source while it writes each letter.
"""


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.add_argument("model", metavar="RUN|FOLDER", help="a run, or a folder with a Transformer")
    parser.add_argument("text", nargs="*", help="texts (else one a line from the piped input)")
    parser.add_argument("--beams", type=int, default=1, metavar="N", help="keep the N best beginnings (1: greedy)")
    parser.add_argument("--tokens", type=int, default=100, metavar="N", help="how many to write at most (100)")
    parser.add_argument("--attention", metavar="PICTURE", help="draw the cross-attention of the first text (.png, .svg)")
    device_argument(parser)


def run(args) -> int:
    """Print each text and what it becomes; return the exit code."""
    for name, value in ("beams", args.beams), ("tokens", args.tokens):
        if value < 1:
            raise Usage(f"--{name} must be 1 or more")
    model, tokenizer = open_model(args.model, lambda m: hasattr(m, "cross_attention"), "rewrite texts", "modern-spelling",
                                  args.device)
    if args.attention and not (Path(args.attention).suffix in (".png", ".svg", ".pdf")
                               and Path(args.attention).absolute().parent.is_dir()):
        raise Usage(f"--attention {args.attention}: give the name of a .png, .svg or .pdf file in a folder that exists")
    texts = texts_from(args.text, sys.stdin, f"minitorch translate {args.model} haue")
    wide = max(map(len, texts), default=0)
    for number, text in enumerate(texts):
        ids = _encode(model, tokenizer, text)
        written = model.translate([ids], max_new_tokens=args.tokens, beams=args.beams)
        print(f"{text:<{wide}}  →  {tokenizer.decode(written[0], skip_special_tokens=True)}", flush=True)
        if args.attention and number == 0:
            _draw(model, tokenizer, ids, written[0].tolist(), args.attention)
            print(f"its cross-attention is in {args.attention}")
    return 0


def _encode(model, tokenizer, text) -> list[int]:
    try:
        ids = [*tokenizer.encode(text), model.config.eos_token_id]
    except ValueError as error:
        raise Usage(f"this model cannot read {text!r}: {error}") from None
    if len(ids) > model.config.max_len:
        raise Usage(f"{text[:40]!r}... has {len(ids) - 1} tokens, more than the {model.config.max_len - 1} this model reads")
    return ids


def _draw(model, tokenizer, ids, written, path) -> None:
    """The mean over the heads of the last layer: a row for each token written, a column for each token read."""
    plt = import_module("matplotlib.pyplot")
    plt.switch_backend("Agg")
    end = model.config.eos_token_id
    if end in written:
        written = written[:written.index(end) + 1]
    weights = model.cross_attention([ids], [written[:-1]]).cpu().numpy()[-1, 0].mean(0)
    figure, axes = plt.subplots(figsize=(2 + 0.4 * len(ids), 1.5 + 0.4 * len(written)), layout="constrained")
    drawn = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    names = [[tokenizer.decode([id]).replace("</s>", "end").replace(" ", "␣") for id in row] for row in (ids, written[1:])]
    axes.set_xticks(range(len(ids)), names[0])
    axes.set_yticks(range(len(written) - 1), names[1])
    axes.set(xlabel="read", ylabel="written", title="Cross-attention")
    axes.xaxis.tick_top()
    figure.colorbar(drawn, ax=axes, shrink=0.6, label="weight")
    figure.savefig(path, dpi=150)
    plt.close(figure)
