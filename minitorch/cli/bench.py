"""``minitorch bench``: how fast is it here, next to PyTorch and to the NumPy reference?"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

import minitorch
from minitorch.bench import generate, gpu, memory, ops, report, scaling, startup, train
from minitorch.bench.compare import Row, compare, machine
from minitorch.bench.process import Worker, WorkerDied, is_installed, left_out
from minitorch.bench.worker import peak
from minitorch.cli import Usage

__all__ = ["BENCHMARKS", "arguments", "run"]

TEXT = """\
Compare minitorch with PyTorch, each in a process of its own, in turns, with equal threads, weights and data.

  minitorch bench ops --only gelu             some of the single operations
  minitorch bench train --model gpt --compile training steps, next to torch.compile as well
  minitorch bench all --save docs/performance everything, and keep it
  minitorch bench train --device cuda         on a GPU: ops, train, memory, generate and matmul, our ladder of products

ratio = their time (or memory) divided by ours: above 1, minitorch is faster (or smaller).
floor = the share of the machine's speed that is reached: of copying memory, or of its matrix products.
Close other programs: what else runs on this machine is measured, too.
"""
MISSING = """\
PyTorch is not installed, so there is nothing to compare with. To install it:
    python -m pip install torch==2.13.0        (or: python -m pip install -e ".[oracle]")
"""
STOPPED = 130       # the exit code of a program that Ctrl-C has ended


def arguments(parser):
    """Describe the command line."""
    parser.description = TEXT + "\n" + "\n".join(f"{name:<9} {b.summary}" for name, b in BENCHMARKS.items())
    parser.add_argument("what", metavar="WHAT", choices=[*BENCHMARKS, "matmul", "all"],
                        help=f"{', '.join(BENCHMARKS)} or all; on a GPU {', '.join(ON_GPU)} or all")
    parser.add_argument("--threads", type=int, default=_cores(), metavar="N", help="of every side (as many as cores)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: on the GPU (cpu)")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each side has its turn ("
                        + ", ".join(f"{name} {b.rounds}" for name, b in BENCHMARKS.items()) + ")")
    parser.add_argument("--only", metavar="TEXT", default="", help="only the cases whose name or size contains this")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that it works, not how fast it is")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well (it needs a C++ compiler)")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write a CSV file, a Markdown table and a chart there")
    models = parser.add_argument_group("for train and all")
    models.add_argument("--model", choices=[*train.MODELS, "both"], help="gpt: layers written by hand; encoder: "
                        "nn.TransformerEncoderLayer; or both (both)")
    models.add_argument("--gelu", choices=["exact", "tanh"], help="of the models (exact)")
    models.add_argument("--fused", action="store_true", help="let PyTorch use its fused AdamW, which is not its default")


def run(args) -> int:
    """Measure; return the exit code."""
    if args.threads < 1:
        raise Usage(f"--threads {args.threads}: at least one thread is needed")
    if args.rounds is not None and args.rounds < 1:
        raise Usage(f"--rounds {args.rounds}: at least one round is needed")
    if args.what not in ("train", "all") and (args.model or args.gelu or args.fused):
        raise Usage(f"--model, --gelu and --fused are for train and all, not for {args.what}")
    if args.save is not None and args.save.exists() and not args.save.is_dir():
        raise Usage(f"--save {args.save}: that is a file; name a folder")
    if args.device == "cuda":
        return _on_gpu(args)
    if args.what == "matmul":
        raise Usage("matmul is our ladder of products on a GPU: minitorch bench matmul --device cuda")
    chosen = {name: _chosen(benchmark.cases(args), args.only) for name, benchmark in BENCHMARKS.items()
              if args.what in (name, "all")}
    if not any(chosen.values()):
        raise Usage(f"--only {args.only}: no case's name or size contains this; run without it to see them all")
    if "memory" in chosen and not peak():
        if args.what == "memory":
            raise Usage("memory: this system does not say how much memory a process has used")
        del chosen["memory"]
    sides = ["minitorch"]
    if is_installed("torch"):
        sides += ["torch", "torch.compile"] if args.compile else ["torch"]
    else:
        print(MISSING)
    if left_out():
        print(f"Measured without {', '.join(left_out())}: every library chooses its own instructions.\n")
    codes = [0]
    for name, cases in chosen.items():
        if cases and codes[-1] != STOPPED:
            codes.append(_measure(name, cases, sides, args))
    return max(codes)


def _on_gpu(args) -> int:
    """The same on a GPU, or in its simulator."""
    if args.what not in (*ON_GPU, "all"):
        raise Usage(f"{args.what} is measured on the CPU; with --device cuda there are {', '.join(ON_GPU)} and all")
    if args.compile:
        raise Usage("--compile is for the CPU")
    missing = minitorch.cuda.why_not()
    if missing:
        print(f"minitorch bench --device cuda: {missing}", file=sys.stderr)
        return 1
    sides, about, problem = gpu.sides(args.threads)
    print("; ".join(f"{key}: {value}" for key, value in about.items()) + f"\n{problem}\n" * bool(problem))
    codes = [0]
    for name in ON_GPU:
        cases = _chosen(gpu.cases(name, args), args.only) if args.what in (name, "all") else []
        if cases and codes[-1] != STOPPED:
            on_gpu = partial(gpu.measure, name, about, args.quick, say=partial(tqdm.write, file=sys.stdout))
            benchmark = Benchmark(ON_GPU[name], lambda args: [], on_gpu, 5, 1, floor=name not in ("memory", "generate"),
                                  findings=gpu.findings, curves=gpu.curves)
            codes.append(_measure(name, cases, sides, args, benchmark, about))
        elif args.what == name:
            raise Usage(f"--only {args.only}: no case's name or size contains this; run without it to see them all")
    return max(codes)


def _measure(name, cases, sides, args, benchmark=None, about=None) -> int:
    benchmark = benchmark or BENCHMARKS[name]
    rounds = args.rounds or (1 if args.quick else benchmark.rounds)
    sides = [*sides, *benchmark.also]
    print(f"{name}: {benchmark.summary}\n{args.threads} thread{'s' * (args.threads > 1)}, the least and the median of "
          f"{rounds} round{'s' * (rounds > 1)}\n", flush=True)
    rows: list[Row] = []
    code = 0
    total = len(cases) * (rounds + benchmark.warmups)
    with tqdm(total=total, desc="starting", file=sys.stderr, disable=None, leave=False) as bar:
        def tick(text, rounds=1):
            bar.set_description(text)
            bar.update(rounds)
        try:
            for group in benchmark.measure(cases, sides, args.threads, rounds, tick):
                if not rows:
                    tqdm.write(report.header(sides, benchmark.floor), file=sys.stdout)
                rows += group
                tqdm.write(report.line(group), file=sys.stdout)
        except KeyboardInterrupt:
            code, problem = STOPPED, "stopped; above is what was measured until then"
        except WorkerDied as error:
            code, problem = 1, str(error)
    for line in report.footer(rows, sides):
        print(line)
    print()
    if code:
        print(f"minitorch bench {name}: {problem}", file=sys.stderr)
    findings = [finding for side in sides for finding in benchmark.findings(rows, side)]
    for finding in findings:
        print(finding)
    if args.save is not None and rows:
        facts = {**(about or {}), "threads": str(args.threads), "minitorch": minitorch.__version__,
                 "torch": _version("torch") if "torch" in sides else ""}
        paths = [*report.save(rows, args.save, name, facts, findings), *benchmark.curves(rows, args.save / name)]
        print("saved " + ", ".join(map(str, paths)) + "\n")
    return code or int(any(row.note not in ("", gpu.SIMULATED) for row in rows))


def _in_turns(name, cases, sides, threads, rounds, tick) -> Iterator[list[Row]]:
    """First the machine's own speed, then every case, its floor beside it."""
    floor = machine(threads)
    tqdm.write(f"{floor}\n", file=sys.stdout)
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(side, threads)) for side in sides]
        for case, rows in zip(cases, compare(name, name, workers, cases, rounds, tick), strict=True):
            least = floor.seconds(case["bytes"], case["flops"]) or None
            yield [replace(row, floor=least) for row in rows]


def _models(args) -> list[dict]:
    models = train.MODELS if args.model in (None, "both") else [args.model]
    return [case for model in models for case in train.cases(model, args.gelu or "exact", args.fused, args.quick)]


def _chosen(cases, text) -> list:
    """Those whose name or size contains the text."""
    def title(case):
        case = case[1] if isinstance(case, tuple) else case
        return f"{case['name']} {case['size']}"
    return [case for case in cases if text.lower() in title(case).lower()]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Benchmark(NamedTuple):
    """A subcommand. ``measure(cases, sides, threads, rounds, tick)`` yields the rows of one case after another."""

    summary: str
    cases: Callable                     # args → all there is to measure
    measure: Callable[..., Iterator[list[Row]]]
    rounds: int
    warmups: int = 0                    # rounds that tick, but do not count
    also: tuple[str, ...] = ()          # sides next to minitorch and PyTorch
    floor: bool = False
    findings: Callable = lambda rows, side: ()      # sentences below the table
    curves: Callable = lambda rows, path: ()        # a second chart


ON_GPU = {
    "ops": "single operations on the GPU, forward and backward",
    "train": "training steps of a GPT on the GPU: vocabulary, words, layers, heads, features, texts",
    "memory": "peak memory on the GPU, of a training step and of attention to long texts",
    "generate": "writing text with a GPT on the GPU, next to Hugging Face transformers: vocabulary, layers, heads, features",
    "matmul": "our ladder of matrix products, each rung beside the library's",
}
BENCHMARKS = {
    "ops": Benchmark(
        "single operations, forward and backward",
        lambda args: ops.cases(args.quick), partial(_in_turns, "ops"), rounds=7, warmups=1, also=("reference",), floor=True),
    "train": Benchmark(
        "training steps of a GPT: vocabulary, words, layers, heads, features, texts",
        _models, partial(_in_turns, "train"), rounds=5, warmups=1, floor=True),
    "memory": Benchmark(
        "peak memory of a training step, and of attention to long texts",
        lambda args: memory.cases(args.quick), memory.measure, rounds=2, findings=memory.findings),
    "scaling": Benchmark(
        "training steps on one thread and on all, of longer texts, of wider models",
        lambda args: scaling.cases(args.quick), scaling.measure, rounds=5, warmups=1, floor=True,
        findings=scaling.findings, curves=scaling.curves),
    "startup": Benchmark(
        "whole processes: importing, and the first training step",
        lambda args: startup.cases(args.quick), startup.measure, rounds=3),
    "generate": Benchmark(
        "writing text with a GPT, next to Hugging Face transformers: vocabulary, layers, heads, features",
        lambda args: generate.cases(args.quick), generate.measure, rounds=5, warmups=1),
}
