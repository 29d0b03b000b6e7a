"""``minitorch tour``: shows what there is, and leaves a folder of pages to look at."""

from __future__ import annotations

import csv
import os
import sys
from html import escape
from importlib import import_module
from io import StringIO
from pathlib import Path
from time import perf_counter

import numpy as np
from tqdm import tqdm

import minitorch
from minitorch import explain, nn
from minitorch.cli import Usage
from minitorch.cli.warmup import warm
from minitorch.explain.lab import CONNECTIONS, NORMS
from minitorch.layer_checks import LAYERS, check_layer, modules
from minitorch.nn import functional as F

__all__ = ["arguments", "run"]

TEXT = """\
See what minitorch does, in seconds (compiling the layers' kernels, once per machine, takes about a minute more):
it steps a neuron backward, checks every layer's gradients, draws how gradients flow through deep stacks, trains a tiny
language model, and leaves a folder of pages that open offline.
"""
PAGE = Path(explain.__file__).parent / "page"
SONNET = """\
Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date;
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance or nature's changing course untrimm'd;
But thy eternal summer shall not fade,
Nor lose possession of that fair thou ow'st;
Nor shall death brag thou wander'st in his shade,
When in eternal lines to time thou grow'st:
So long as men can breathe or eyes can see,
So long lives this, and this gives life to thee.
"""  # William Shakespeare, sonnet 18 (1609)


def arguments(parser):
    """Describe the command line."""
    parser.description = TEXT
    parser.add_argument("--out", default="minitorch-tour", metavar="FOLDER", help="for the pages (minitorch-tour)")
    parser.add_argument("--quick", action="store_true", help="fewer layers, a shallower stack, a shorter training")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (0)")


def run(args) -> int:
    """Give the tour; return the exit code."""
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise Usage(f"--out {out}: this is a file. Name a folder, new or old.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "index.html").touch()
    except OSError as error:
        raise Usage(f"--out {out}: nothing can be written there ({error.strerror})") from None
    start = perf_counter()
    minitorch.manual_seed(args.seed)
    if not args.quick:
        warm(os.cpu_count() or 1, ["float64"], layers=True)    # whose gradients are checked
    cards = []
    stops = (_step, _check, _flow, _lab, _train)
    for number, stop in enumerate(stops, 1):
        title, *_ = (stop.__doc__ or "").partition("\n")
        print(f"\n{number}/{len(stops)}  {title}\n" + "─" * 100)
        cards.append(_card(title, *stop(out, args)))
    wrong = any("<td class=bad>" in card for card in cards)
    (out / "index.html").write_text(_index(cards), encoding="utf-8")
    print(f"\nDone, {perf_counter() - start:.0f} s. Now open {out / 'index.html'} in a browser: it works offline.\n"
          "Next:  minitorch step block          walk through a Transformer block yourself, forward and backward\n"
          "       minitorch step YOUR_FILE.py   or through a program of your own\n"
          "       minitorch gradcheck FILE.py:NAME")
    return 1 if wrong else 0


# ---------------------------------------------------------------------------------------------------------------------
# the stops: each prints, writes files into the folder, and returns (lead, body) in HTML

def _step(out, args):
    """Step backward through a neuron, then through a whole Transformer block"""
    trace, _ = _quietly("neuron")
    print(explain.transcript(trace, 100, phase="backward"))
    (out / "neuron.txt").write_text(explain.transcript(trace, 100), encoding="utf-8")
    block, _ = _quietly("block")
    explain.save_player(block, out / "block.html")
    backward = len(block.backward)
    norm = block[_widest(block)].grad
    print(f"The block: {len(block.forward)} ops forward, {backward} backward. Every one of them is in {out / 'block.html'}.")
    return (f"A Transformer block, {len(block.forward)} ops forward and {backward} backward, with every number. Press → to "
            "take one step; hover over a number to see what it is made of.",
            '<iframe src="block.html" title="A Transformer block, step by step" loading="lazy"></iframe>'
            f'<p><a class="go" href="block.html">Open the player</a> <a href="neuron.txt">A neuron, as text</a></p>'
            f"<p class=soft>The gradient of {escape(_widest(block))} has norm "
            f"<b data-check=norm>{np.sqrt((norm.astype(float) ** 2).sum()):.6g}</b>.</p>")


def _check(out, args):
    """Check the gradients of every layer"""
    layers = [layer for layer in LAYERS if not args.quick or "," not in layer.name] + ([] if args.quick else modules())
    rows = []
    for layer in tqdm(layers, desc="checking", file=sys.stderr, leave=False):
        for backend in "reference", "cpu":
            for report in check_layer(layer, backend, args.seed):
                rows += [(layer.name, x.name, backend, x.method, x.max_error, x.verdict) for x in report.inputs]
    right = sum(row[-1] == "right" for row in rows)
    worst = max((row for row in rows if row[-1] == "right" and "differences" not in row[3]), key=lambda row: row[4])
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["layer", "input", "backend", "method", "error", "verdict"])
    writer.writerows(rows)
    (out / "gradients.csv").write_text(text.getvalue(), encoding="utf-8")
    says = f"{right} of {len(rows)} comparisons right, over {len(layers)} layers on two backends"
    print(f"{says}.\nThe largest error against exact oracles: {worst[4]:.1e} ({worst[0]}, {worst[1]}).")
    shown = "".join(f"<tr><td>{escape(name)}<td>{escape(what)}<td>{backend}<td>{escape(method)}<td class=number>{error:.1e}"
                    f"<td class={'good' if verdict == 'right' else 'bad'}>{verdict}</tr>"
                    for name, what, backend, method, error, verdict in rows)
    return (f"<b data-check=right>{right}</b> of <b>{len(rows)}</b> comparisons right: each backward pass against slopes "
            "that were measured, by complex step or finite differences, and the fast kernels against the plain ones.",
            "<details><summary>The whole table</summary><div class=scroll><table><thead><tr><th>layer<th>input<th>backend"
            f"<th>judged by<th>error<th>verdict</tr></thead><tbody>{shown}</tbody></table></div></details>"
            '<p><a href="gradients.csv">The table as CSV</a></p>')


def _flow(out, args):
    """See how gradients flow through deep stacks, with and without residual connections"""
    found = explain.compare_stacks(depth=12 if args.quick else 48, seed=args.seed,
                                   progress=lambda x, **_: tqdm(x, desc="measuring", file=sys.stderr, leave=False))
    _save(found.plot(), out / "gradient-flow.svg")
    found.to_csv(out / "gradient-flow.csv")
    print(found.reading())
    table, _, words = found.reading().partition("\n\n")
    return (escape(words),
            f"<pre>{escape(table)}</pre>"
            '<a href="gradient-flow.svg"><img src="gradient-flow.svg" alt="The gradient at each block of five stacks"></a>'
            '<p><a href="gradient-flow.csv">The numbers</a></p>')


def _lab(out, args):
    """Switch residual connections and norms on and off"""
    explain.save_residual_lab(out / "residual-lab.html")
    ways = len(CONNECTIONS) * len(NORMS)
    print(f"One stack of blocks, wired in {ways} ways: {out / 'residual-lab.html'}")
    return (f"The same blocks in {ways} wirings: with and without residual connections, and with the mistake x = x + x; "
            "without a norm, with post-norm and with pre-norm.",
            '<iframe src="residual-lab.html" title="The residual lab" loading="lazy"></iframe>'
            '<p><a class="go" href="residual-lab.html">Open the lab</a></p>')


def _train(out, args):
    """Train a tiny language model"""
    steps = 20 if args.quick else 600
    letters = sorted(set(SONNET))
    ids = np.array([letters.index(c) for c in SONNET])
    model = _Writer(len(letters))
    optimizer = minitorch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(args.seed)
    losses, flows = [], {}
    bar = tqdm(range(1, steps + 1), desc="training", file=sys.stderr, leave=False)
    for step in bar:
        starts = rng.integers(len(ids) - model.length, size=16)
        batch = ids[starts[:, None] + np.arange(model.length + 1)]
        seen, next_ones = minitorch.tensor(batch[:, :-1]), minitorch.tensor(batch[:, 1:])
        loss = F.cross_entropy(model(seen).flatten(0, 1), next_ones.flatten())
        if step in (1, steps):
            flows[f"step {step}"] = explain.gradient_flow(model, loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    written = _write(model, letters, "Shall I", 90 if args.quick else 160)
    plt = import_module("matplotlib.pyplot")
    plt.switch_backend("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.plot(range(1, steps + 1), losses, color="#0072B2")
    left.axhline(np.log(len(letters)), color="#8d939c", linestyle="--", linewidth=1)
    left.annotate(f"a guess among {len(letters)} letters: ln {len(letters)} = {np.log(len(letters)):.2f}",
                  (steps, np.log(len(letters))), (0, 5), textcoords="offset points", ha="right", color="#5d6470")
    left.set(xlabel="step", ylabel="loss", title=f"The loss falls from {losses[0]:.2f} to {losses[-1]:.2f}", ylim=(0, None))
    explain.plot_gradient_flow(flows, ax=right)
    _save(figure, out / "training.svg")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {steps} steps: "
          f"loss {losses[0]:.3f} → {losses[-1]:.3f}. It writes:\n\n{written}")
    return (f"Two Transformer blocks read a sonnet over and over: in {steps} steps the loss falls from "
            f"<b>{losses[0]:.3f}</b> to <b data-check=loss>{losses[-1]:.3f}</b>. Then the model writes:",
            f"<pre>{escape(written)}</pre>"
            '<a href="training.svg"><img src="training.svg" alt="The loss over the steps, and the gradient at each layer at '
            'the first and the last step"></a>')


class _Writer(nn.Module):
    """A small GPT over letters."""

    def __init__(self, letters, width=48, length=40):
        super().__init__()
        self.length = length
        self.letter, self.place = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, activation="gelu",
                                                                batch_first=True, norm_first=True) for _ in range(2)])
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, letters)

    def forward(self, ids):
        x = self.letter(ids) + self.place(minitorch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x, is_causal=True, src_mask=nn.Transformer.generate_square_subsequent_mask(ids.shape[1]))
        return self.out(self.norm(x))


def _write(model, letters, text, length) -> str:
    """Continue a text, one likeliest letter after another."""
    ids = [letters.index(c) for c in text]
    with minitorch.no_grad():
        while len(ids) < length:
            ids.append(int(model(minitorch.tensor([ids[-model.length:]]))[0, -1].argmax()))
    return "".join(letters[i] for i in ids)


# ---------------------------------------------------------------------------------------------------------------------
# the page

def _quietly(name):
    """A built-in program, recorded, without what it prints."""
    before, sys.stdout = sys.stdout, StringIO()
    try:
        return explain.record_script(explain.program(name)[0])
    finally:
        sys.stdout = before


def _widest(trace) -> str:
    """The parameter with the largest gradient."""
    leaves = [v for v in trace.values if v.kind == "parameter" and isinstance(v.grad, np.ndarray)]
    return max(leaves, key=lambda v: float((v.grad.astype(float) ** 2).sum())).name


def _save(figure, path) -> None:
    figure.savefig(path)
    import_module("matplotlib.pyplot").close(figure)


def _card(title, lead, body) -> str:
    return f"<section class=card><h2>{escape(title)}</h2><p>{lead}</p>{body}</section>"


def _index(cards) -> str:
    page = (PAGE / "tour.html").read_text(encoding="utf-8")
    css = (PAGE / "base.css").read_text(encoding="utf-8")
    return page.replace("/*BASE*/", css).replace("<!--CARDS-->", "\n".join(cards)).replace("VERSION", minitorch.__version__)
