"""``minitorch gradcheck``: are the backward passes right? Of every layer, or of your own function."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from difflib import get_close_matches
from pathlib import Path
from time import perf_counter

import numpy as np
from tqdm import tqdm

import minitorch
from minitorch.cli import Usage
from minitorch.gradcheck import Report, check
from minitorch.layer_checks import LAYERS, check_layer, modules

__all__ = ["arguments", "run"]

EXAMPLES = """\
Check that backward passes are right.

  minitorch gradcheck                          every hand-written layer, on every backend
  minitorch gradcheck --layer attention        those whose name contains "attention"
  minitorch gradcheck mine.py:swish            your own function, Function class, or nn.Module
  minitorch gradcheck mine.py:layer --shape x=3,4 --shape w=4,5
  minitorch gradcheck mine.py:pick --shape ids=6 --int ids=0,9
"""


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.add_argument("target", nargs="?", metavar="FILE.py:NAME", help="or package.module:NAME; none: all layers")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=3,4",
                        help="shape of an input, filled with random numbers; repeat it for more inputs")
    parser.add_argument("--int", action="append", default=[], metavar="NAME=LOW,HIGH", dest="ints",
                        help="make an input of integers from LOW up to, but without, HIGH")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64",
                        help="dtype of the random numbers; the check itself always computes in float64")
    parser.add_argument("--layer", metavar="TEXT", help="only the layers whose name contains this")
    parser.add_argument("--backend", choices=["reference", "cpu"], action="append", help="only this backend")
    parser.add_argument("--quick", action="store_true", help="single layers only, no composed modules")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (0)")


def run(args) -> int:
    """Check; return the exit code."""
    return _check_layers(args) if args.target is None else _check_target(args)


def _check_layers(args) -> int:
    if args.shape or args.ints:
        raise Usage("--shape and --int describe inputs of your own function: add FILE.py:NAME")
    layers = LAYERS if args.quick else LAYERS + modules()
    if args.layer is not None:
        chosen = [layer for layer in layers if args.layer.lower() in layer.name.lower()]
        if not chosen:
            raise Usage(f"no layer's name contains {args.layer!r}. There are: "
                        + ", ".join(dict.fromkeys(layer.name.partition(",")[0] for layer in layers)))
        layers = chosen
    start = perf_counter()
    print("Kernels are compiled on first use: the first run takes about a minute, later ones a few seconds.\n")
    print(_row("layer", "input", "backend", "method", "error", "verdict"))
    wrong, verdicts = [], []
    work = [(layer, backend) for backend in args.backend or ["reference", "cpu"] for layer in layers]
    bar = tqdm(work, desc="checking", file=sys.stderr, disable=None, leave=False)
    for layer, backend in bar:
        try:
            reports = check_layer(layer, backend, args.seed)
        except Exception as error:  # one broken kernel must not hide what is known of the others
            reports = [Report(layer.name, problems=[f"it failed: {type(error).__name__}: {error}"])]
        for row in _rows_of(layer, backend, reports):
            verdicts.append(row.endswith("right"))
            tqdm.write(row, file=sys.stdout)
        wrong += [f"on {backend}: {report}" for report in reports if not report.ok]
    bar.close()
    names = len({layer.name for layer, _ in work})
    print(f"\n{sum(verdicts)} of {len(verdicts)} gradients right: {names} layers, {perf_counter() - start:.0f} s")
    for text in wrong:
        print("\n" + text)
    return 1 if wrong else 0


def _row(layer, name, backend, method, error, verdict) -> str:
    return f"{layer:<38} {name:<32} {backend:<10} {method:<24} {error:<8} {verdict}".rstrip()


def _rows_of(layer, backend, reports):
    """One line an input: the methods that judged it, the error by the sharpest of them."""
    short = {"the reference kernel": "reference", "finite differences": "differences"}
    names = dict.fromkeys(x.name for report in reports for x in report.inputs)
    for name in names:
        found = [x for report in reports for x in report.inputs if x.name == name]
        right = all(x.verdict == "right" for x in found) and not any(report.problems for report in reports)
        if name == "the output" and right:
            continue
        error = found[0].max_error if right else max(x.max_error for x in found)
        yield _row(layer.name, name, backend, ", ".join(short.get(x.method, x.method) for x in found), f"{error:.1e}",
                   "right" if right else "WRONG")
    if not names:
        yield _row(layer.name, "", backend, "", "", "WRONG")


def _check_target(args) -> int:
    func, name = _load(args.target)
    if isinstance(func, type) and issubclass(func, minitorch.nn.Module):
        try:
            func = func()
        except TypeError as error:
            raise Usage(f"{name} cannot be made without arguments ({error}). Make an instance in your file, such as "
                        f"layer = {name}(...), and check that one.") from None
    if not callable(func):
        raise Usage(f"{name} is a {type(func).__name__}, not a function, a Function class or a Module")
    if isinstance(func, minitorch.nn.Module):
        func = func.double()
    minitorch.manual_seed(args.seed)
    inputs, names = _inputs(func, name, args)
    shapes = ", ".join(f"{n} {getattr(x, 'shape', x)}" for n, x in zip(names, inputs, strict=True))
    print(f"{name}: with {shapes}")
    try:
        report = check(func, inputs, names=names, name=name, seed=args.seed)
    except Exception as error:
        raise Usage(f"{name} failed: {type(error).__name__}: {error}\nWere these the right inputs? "
                    "Give others with --shape NAME=3,4 and --int NAME=LOW,HIGH.") from None
    print(report)
    return 0 if report.ok else 1


def _load(target):
    """The object that FILE.py:NAME or package.module:NAME names."""
    place, colon, name = target.rpartition(":")
    if not colon or not name:
        place, name = target.rstrip(":"), ""
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            near = get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], 1)
            raise Usage(f"there is no file {place}." + (f" Did you mean {path.parent / near[0]}?" if near else ""))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        load = lambda: spec.loader.exec_module(module)
        folder = str(path.parent.resolve())
    else:
        module, folder = None, "."
        load = lambda: importlib.import_module(place)
    sys.path.insert(0, folder)
    try:
        module = load() or module
    except ModuleNotFoundError as error:
        raise Usage(f"{place} cannot be imported: {error}." + ("" if place.endswith(".py") else
                    " Write FILE.py:NAME for a file, package.module:NAME for a module.")) from None
    except Exception as error:
        raise Usage(f"{place} fails when it is imported: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(folder)
    mine = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")
            and getattr(v, "__module__", module.__name__) == module.__name__]
    if not name:
        raise Usage(f"say what to check: {place}:NAME" + (f", where NAME is one of {', '.join(mine)}" if mine else ""))
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, mine, 1) or mine
            raise Usage(f"{place} has no {part!r}." + (f" Did you mean {' or '.join(near[:5])}?" if near else ""))
        found = getattr(found, part)
    return found, name


def _inputs(func, name, args):
    """Inputs by --shape and --int, by the parameters' defaults, or by a guess that runs."""
    rng = np.random.default_rng(args.seed)
    is_op = isinstance(func, type)
    target = func.forward if is_op or isinstance(func, minitorch.nn.Module) else func
    try:
        parameters = list(inspect.signature(target).parameters.values())[is_op:]
    except (TypeError, ValueError):
        parameters = []
    spread = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    parameters = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = [p.name for p in parameters]
    shapes = {n: _numbers(text, "--shape", known) for n, text in _named(args.shape, known, "--shape", spread)}
    ranges = {n: _numbers(text, "--int", known) for n, text in _named(args.ints, known, "--int", spread)}
    for n, bounds in ranges.items():
        if len(bounds) != 2 or bounds[0] >= bounds[1]:
            raise Usage(f"--int {n}: write two numbers, LOW,HIGH, with LOW below HIGH")

    def make(n, shape):
        if n in ranges:
            return minitorch.tensor(rng.integers(*ranges[n], shape))
        return minitorch.tensor(rng.normal(size=shape).astype(args.dtype), requires_grad=True)

    inputs, names, open_ = [], [], []
    for p in parameters:
        default = None if p.default is p.empty else p.default
        if p.name in shapes:
            value = make(p.name, shapes[p.name])
        elif isinstance(default, (minitorch.Tensor, np.ndarray)):
            value = minitorch.tensor(default)
            value.requires_grad = value.is_floating_point()
        elif p.default is not p.empty and p.name not in ranges:
            value = default
        elif _text(p.annotation) in ("int", "bool", "str") and p.name not in ranges:
            raise Usage(f"parameter {p.name} of {name} is a {_text(p.annotation)} without a default value. Give it one, or "
                        "check a small function that fills it in.")
        else:
            value = None
            open_.append(len(inputs))
        inputs.append(value)
        names.append(p.name)
    for n in [n for n in shapes if n not in known]:
        inputs.append(make(n, shapes[n]))
        names.append(n)
    if not inputs and isinstance(func, minitorch.nn.Module):
        raise Usage(f"{name} takes no inputs that could be guessed. Give their shapes: --shape x=3,4")
    if not open_:
        return inputs, names
    first_error = None
    for shape in _guesses(func, minitorch):
        for i in open_:
            inputs[i] = make(names[i], shape)
        try:
            with minitorch.no_grad():
                (func.apply if is_op else func)(*inputs)
            return inputs, names
        except Exception as error:
            first_error = first_error or error
    missing = " ".join(f"--shape {names[i]}=3,4" for i in open_)
    raise Usage(f"no shape that was tried suits {name} ({type(first_error).__name__}: {first_error}).\n"
                f"Say what its inputs look like, for example: {missing}")


def _guesses(func, minitorch):
    """Shapes to try: for a module, those whose last size one of its parameters ends in."""
    if isinstance(func, minitorch.nn.Module):
        widths = list(dict.fromkeys(p.shape[-1] for p in func.parameters() if p.ndim))
        yield from [(3, n) for n in widths] + [(2, 3, n) for n in widths]
    yield from [(3, 4), (4, 4), (4,), (2, 3, 4), (2, 3, 5, 5), ()]


def _named(options, known, option, spread):
    for text in options:
        name, equals, value = text.partition("=")
        if not equals:
            name, value = (known or ["x"])[0], text
        if name not in known and not spread and known:
            near = get_close_matches(name, known, 1)
            raise Usage(f"{option} {text}: there is no parameter {name!r}. "
                        + (f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."))
        yield name, value


def _numbers(text, option, known):
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(",") if part.strip())
    except ValueError:
        raise Usage(f"{option}: {text!r} is no list of whole numbers; write for example "
                    f"{option} {(known or ['x'])[0]}=3,4") from None


def _text(annotation) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
