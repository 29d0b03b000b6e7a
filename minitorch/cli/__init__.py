"""The ``minitorch`` command: a table of subcommands, each a module here, loaded when it is asked for.

A command's module has ``arguments(parser)``, which describes its command line, and ``run(args)``, which returns the exit
code: 0 all is well, 1 something was checked and is wrong, 2 the command could not be understood (raise ``Usage``), 130 it
was interrupted (Ctrl-C), 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import os
import sys
from difflib import get_close_matches
from importlib import import_module

__all__ = ["COMMANDS", "Usage", "main"]

COMMANDS = {
    "tour": "shows what there is, in a minute, and leaves a folder of pages to look at",
    "step": "walk through a program, forward and backward, op by op",
    "lab": "the residual lab: a page that switches residual connections and LayerNorm on and off",
    "gradflow": "draw how gradients flow through deep stacks, with and without residual connections",
    "look-inside": "follow a word's vector through a real BERT, from LayerNorm to LayerNorm",
    "gradcheck": "check gradients, of every layer or of your own function",
    "train": "train a model as a config says: char-gpt learns to write plays, in minutes",
    "generate": "let a trained model write on",
    "translate": "let a trained encoder-decoder rewrite texts, and draw what it looks at",
    "classify": "let a trained model sort sentences into classes",
    "bench": "how fast it is here, next to PyTorch and to the NumPy reference",
    "warmup": "compile every kernel now, instead of when it is first used",
    "doctor": "what minitorch runs on here, what is wrong, and what to do about it",
}


class Usage(Exception):
    """The command cannot be carried out as it was given; the text says what to write instead."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    >>> main(["gradcheck", "--layer", "softmax, first axis", "--backend", "reference"])  # doctest: +ELLIPSIS
    Kernels are compiled on first use...
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"minitorch {import_module('minitorch').__version__}")
        return 0
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        hint = f"Did you mean 'minitorch {near[0]}'?" if near else f"There are: {', '.join(COMMANDS)}."
        print(f"minitorch: there is no command {name!r}. {hint}", file=sys.stderr)
        return 2
    command = import_module(f"minitorch.cli.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(f"minitorch {name}", formatter_class=argparse.RawDescriptionHelpFormatter)
    command.arguments(parser)
    # options may stand anywhere among the words; only what follows step's program belongs to that program
    parse = parser.parse_args if name == "step" else parser.parse_intermixed_args
    try:
        code = command.run(parse(argv[1:]))
        sys.stdout.flush()
        return code
    except Usage as error:
        print(f"minitorch {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:                                 # whoever read the output has seen enough: head, a pager
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _help() -> str:
    rows = "\n".join(f"  {name:<12} {summary}" for name, summary in COMMANDS.items())
    return ("usage: minitorch COMMAND ...\n\nA small deep-learning engine that shows its gradients, and whose gradients "
            f"are checked.\n\ncommands:\n{rows}\n\n'minitorch COMMAND --help' says more about one; "
            "--version prints the version.")
