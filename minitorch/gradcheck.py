"""Is a backward pass right? Compare its gradients with slopes measured by moving the input a little.

`gradcheck` has PyTorch's signature and raises an error that reads like a diagnosis. `check` is the same without the
exception: it returns a `Report`. How a gradient is judged:

1. The function is run in float64, twice: the same input must give the same output.
2. Upstream gradients (what backward starts from) are random, never ones: with ones, softmax's true gradient is zero, and
   a backward that returns zeros would pass.
3. Every element of an input is moved by ±h and ±2h. The four outputs give the slope with an error of the order h⁴, about
   nine good digits, where the usual two outputs give five. An input with many elements is moved along a few random
   directions, and a sample of its elements one by one; if a direction disagrees, the wrong element is searched for.
4. Where slopes disagree, smaller and smaller h are tried: if a kink (relu, max, abs) lay between the points, it drops out.
5. If the slopes to the left and to the right differ at every h, the input sits *on* the kink. Any value between the two
   is a right answer there; anything else is wrong.
6. Besides: backward twice gives the same bits, nothing is written to, memory layout does not matter, outputs that nobody
   used do not matter.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minitorch.autograd import Function, Variable, enable_grad, no_grad, observers, run_backward
from minitorch.diagnosis import Wrong, guess
from minitorch.ops.device import on_device_of, on_host, to_device

__all__ = ["GradcheckError", "InputReport", "Report", "check", "gradcheck"]

FULL = 200          # inputs with more elements than this are moved along random directions
SHRINK = (1, 2.0**-2, 2.0**-4, 2.0**-7, 2.0**-10)   # the steps h that are tried, in units of the first
EPSILON = np.finfo(float).eps


class GradcheckError(RuntimeError):
    """A gradient is wrong. The text is the diagnosis; ``report`` holds the numbers."""

    def __init__(self, report):
        super().__init__(str(report))
        self.report = report


@dataclass
class InputReport:
    """What was found for one input."""

    name: str
    method: str = "differences"
    checked: int = 0                    # comparisons made
    off: int = 0                        # of which wrong
    kinks: int = 0                      # of which at a kink, where several answers are right
    max_error: float = 0.0              # the largest |analytic − numeric|, relative to the largest gradient
    allowed: float = 0.0
    worst: tuple[int, ...] | None = None
    analytic: float = 0.0               # both at the worst place
    numeric: float = 0.0
    guess: str | None = None
    verdict: str = "right"

    def __str__(self):
        at = f"{self.name}[{', '.join(map(str, self.worst or ()))}]" if self.worst else self.name
        lines = [f"at {at:<16} backward says    {self.analytic:+.10g}",
                 f"   {'':<16} it should be     {self.numeric:+.10g}    (measured by {self.method})",
                 f"   {'':<16} the error is     {abs(self.analytic - self.numeric):.3g}, allowed is {self.allowed:.1g}",
                 f"{self.off} of {self.checked} comparisons are off"
                 + (f"; {self.kinks} more lie at a kink and were skipped." if self.kinks else ".")]
        return "\n".join("  " + line for line in lines + ([self.guess] if self.guess else []))


@dataclass
class Report:
    """The result of `check`: true if every gradient is right; as text, the diagnosis."""

    name: str
    op: str | None = None               # the op whose backward is to blame, if that could be told
    inputs: list[InputReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)   # what is wrong besides the numbers

    @property
    def ok(self) -> bool:
        return not self.problems and all(x.verdict == "right" for x in self.inputs)

    __bool__ = lambda self: self.ok

    @property
    def max_error(self) -> float:
        return max((x.max_error for x in self.inputs), default=0.0)

    @property
    def kinks(self) -> int:
        return sum(x.kinks for x in self.inputs)

    def __str__(self):
        if self.ok:
            n = sum(x.checked for x in self.inputs)
            kinks = f"; {self.kinks} at a kink, skipped" if self.kinks else ""
            return f"gradcheck: {self.name}: every gradient is right ({n} comparisons, error {self.max_error:.1e}{kinks})"
        blame = f" ({self.op}.backward)" if self.op else ""
        lines = [f"gradcheck: {self.name}: {problem}" for problem in self.problems]
        for x in self.inputs:
            if x.verdict != "right":
                lines.append(f"gradcheck: {self.name}: the gradient of '{x.name}' is wrong{blame}\n{x}")
        return "\n".join(lines)


def gradcheck(func, inputs, *, eps=None, atol=None, rtol=None, raise_exception=True, nondet_tol=0.0,
              check_undefined_grad=True, check_grad_dtypes=False, check_batched_grad=False,
              check_batched_forward_grad=False, check_forward_ad=False, check_backward_ad=True, fast_mode=False,
              masked=None, seed=0) -> bool:
    """Check the backward pass of a function against measured slopes.

    The signature is PyTorch's. Three things differ. Inputs may be float32: the function is called with float64 copies.
    The defaults are stricter: a gradient that is wrong in the seventh digit is refused, where PyTorch's default lets a
    thousandth pass. And an input exactly on a kink (relu at 0) is not a failure if the gradient is one of the right ones.

    Parameters
    ----------
    func : callable
        From tensors to a tensor or a tuple of them; also a Module (its parameters are checked too) or a Function class.
    inputs : Tensor or tuple
        Those that require a gradient are checked; everything else is passed on.
    eps : float, optional
        The step. None: a thousandth of the input's spread, and less where that is too much.
    atol, rtol : float, optional
        What is allowed: ``|analytic − numeric| ≤ atol + rtol · |numeric|``. None: as little as the measurement is good for,
        about 1e-7 of the value plus 1e-9 of the largest one.
    raise_exception : bool
        Raise `GradcheckError` with a diagnosis, or return False.
    nondet_tol : float
        How much two backward passes may differ. 0: not in a single bit.
    check_undefined_grad : bool
        Also run backward with the gradients of some outputs undefined (None).
    fast_mode : bool
        Random directions only, however small the input.
    check_grad_dtypes, masked
        Accepted for PyTorch's sake: every backward's dtypes are always checked.
    check_batched_grad, check_batched_forward_grad, check_forward_ad, check_backward_ad
        PyTorch's other kinds of differentiation, which do not exist here: only their defaults are accepted.

    Examples
    --------
    >>> x = minitorch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    >>> gradcheck(lambda x: (x * x).sum(), x)
    True
    """
    for option, wanted in (("check_batched_grad=True", check_batched_grad), ("check_forward_ad=True", check_forward_ad),
                           ("check_batched_forward_grad=True", check_batched_forward_grad),
                           ("check_backward_ad=False", not check_backward_ad)):
        if wanted:
            raise NotImplementedError(f"gradcheck: {option} is not supported: there is only backward differentiation here, "
                                      "one gradient at a time (no vmap). Leave the option out.")
    report = check(func, inputs, eps=eps, atol=atol, rtol=rtol, nondet_tol=nondet_tol, seed=seed,
                   check_undefined_grad=check_undefined_grad, fast_mode=fast_mode)
    if not report and raise_exception:
        raise GradcheckError(report)
    return report.ok


def check(func, inputs, *, eps=None, atol=None, rtol=None, nondet_tol=0.0, check_undefined_grad=True, fast_mode=False,
          method="differences", seed=0, names=None, name=None) -> Report:
    """Like `gradcheck`, but return a `Report` whatever the outcome.

    Parameters
    ----------
    method : {"differences", "complex"}
        "complex" moves the input by 10⁻³⁰·i and reads the slope off the imaginary part: no rounding at all, 15 digits. It
        works where every kernel takes complex numbers: on the reference backend.
    names : list of str, optional
        What to call the inputs. None: as the function's parameters are called.
    name : str, optional
        What to call the function.

    Examples
    --------
    >>> x = minitorch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    >>> report = check(lambda x: (x * x).sum(), x)
    >>> report.ok, report.inputs[0].name, report.inputs[0].checked
    (True, 'x', 9)
    """
    subject = _Subject(func, inputs, names)
    report = Report(name or subject.name)
    settings = _Settings(eps, atol, rtol, fast_mode, method, np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        _same_twice(subject, report)
        if not report.problems:
            _gradients(subject, report, settings)
        if report.ok:
            _backward_manners(subject, report, settings.rng, nondet_tol, check_undefined_grad)
    return report


# ---------------------------------------------------------------------------------------------------------------------
# the function under test, as a function of float64 arrays

def _run_on_gpu(func):
    """The function of tensors on the GPU as one of tensors on the CPU, which can be moved number by number."""
    def call(*inputs):
        result = func(*[to_device(x, "cuda") if isinstance(x, Variable) else x for x in inputs])
        back = [to_device(y, "cpu") if isinstance(y, Variable) else y for y in
                (result if isinstance(result, (tuple, list)) else [result])]
        return tuple(back) if isinstance(result, (tuple, list)) else back[0]
    return call


def _parameters_from_the_cpu(parameters, module):
    """The parameters of a module on the GPU as tensors on the CPU, and a call of the module with what they are then."""
    leaves = {name: p.like(p.data.to_host()).requires_grad_() for name, p in parameters.items()}
    name_of = {id(p): name for name, p in parameters.items()}
    places = [(held, key, p, name_of[id(p)]) for held in (m._parameters for m in module.modules())
              for key, p in held.items() if id(p) in name_of]

    def call(*inputs):
        moved = {name: to_device(leaf, "cuda") for name, leaf in leaves.items()}
        try:
            for held, key, _, name in places:
                held[key] = moved[name]
            return module(*inputs)
        finally:
            for held, key, p, _ in places:
                held[key] = p

    return leaves, call


@dataclass
class _Settings:
    eps: float | None
    atol: float | None
    rtol: float | None
    fast: bool
    method: str
    rng: Any


class _Subject:
    """The function and private float64 copies of its inputs."""

    def __init__(self, func, inputs, names):
        self.inputs = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
        self.name = _name_of(func)
        if isinstance(func, type) and issubclass(func, Function):
            names = names or _parameter_names(func.forward, self.inputs, skip=1)
            func = func.apply
        names = names or _parameter_names(getattr(func, "forward", func), self.inputs)
        self.leaves = {}
        there = any(isinstance(x, Variable) and hasattr(x.data, "kernels") for x in self.inputs)
        for i, x in enumerate(self.inputs):
            if isinstance(x, Variable):
                is_float = x.data.dtype.kind == "f"
                copied = x.like(np.array(on_host(x.data), "float64" if is_float else None, order="K"))
                self.inputs[i] = copied
                if is_float and x._requires_grad:
                    copied._requires_grad = True
                    self.leaves[names[i]] = copied
        if hasattr(func, "named_parameters") and hasattr(func, "double"):
            func = copy.deepcopy(func).double()
            parameters = {n: p for n, p in func.named_parameters() if p._requires_grad}
            if any(hasattr(p.data, "kernels") for p in parameters.values()):
                there = True
                parameters, func = _parameters_from_the_cpu(parameters, func)
            self.leaves.update(parameters)
        self.func = _run_on_gpu(func) if there else func
        if not self.leaves:
            raise ValueError(f"gradcheck: {self.name}: no input requires a gradient, so there is nothing to check. Make at "
                             "least one floating-point input with requires_grad=True.")

    def graph(self, inputs=None):
        """Run it and remember: the float outputs that have a gradient."""
        with enable_grad():
            found = _floats(self.func(*(self.inputs if inputs is None else inputs)))
        self.slots = [i for i, y in enumerate(found) if y._requires_grad]
        outputs = [found[i] for i in self.slots]
        self.shapes = [y.data.shape for y in outputs]
        return outputs

    def values(self):
        """The same outputs as one flat array."""
        with no_grad():
            found = _floats(self.func(*self.inputs))
        return np.concatenate([np.ravel(found[i].data) for i in self.slots]) if self.slots else np.zeros(0)

    def gradients(self, outputs, upstream, leaves=None):
        """Backward from flat upstream gradients: name → gradient, None where none arrived."""
        leaves = self.leaves if leaves is None else leaves
        arrived = run_backward(outputs, upstream, retain_graph=True, wanted=[x.place for x in leaves.values()])
        return {n: None if arrived.get(x.place) is None else np.array(arrived[x.place]) for n, x in leaves.items()}

    def split(self, flat):
        """A flat upstream gradient, cut into one array per output."""
        ends = np.cumsum([int(np.prod(s)) for s in self.shapes])[:-1]
        return [part.reshape(s).copy() for part, s in zip(np.split(flat, ends), self.shapes, strict=True)]

    def moved(self, leaf, direction, steps):
        """The outputs with a leaf moved by each of the steps along a direction."""
        array, before = leaf.data, leaf.data.copy()
        try:
            for step in steps:
                array[...] = before + step * direction
                yield self.values()
        finally:
            array[...] = before

    def complex_slope(self, leaf, direction):
        """The slopes of the outputs along a direction, by a complex step."""
        h = 1e-30
        inputs = [x.like(x.data + (1j * h * direction if x is leaf else 0))
                  if any(x is other for other in self.leaves.values()) else x for x in self.inputs]
        with no_grad():
            found = _floats(self.func(*inputs), "fc")
        return np.concatenate([np.ravel(found[i].data).imag / h for i in self.slots])


def _floats(result, kinds="f"):
    """The float tensors in whatever a function returned."""
    if isinstance(result, Variable):
        return [result] if result.data.dtype.kind in kinds else []
    if isinstance(result, dict):
        result = list(result.values())
    return [y for part in result for y in _floats(part, kinds)] if isinstance(result, (tuple, list)) else []


def _name_of(func) -> str:
    owner = getattr(func, "__self__", None)     # of Op.apply, the op is meant
    func = owner if inspect.isclass(owner) else func
    name = getattr(func, "__name__", type(func).__name__)
    return "the function" if name == "<lambda>" else name


def _parameter_names(func, inputs, skip=0):
    names = [f"input {i}" for i in range(len(inputs))]
    owner = getattr(func, "__self__", None)
    if inspect.isclass(owner) and issubclass(owner, Function):
        func, skip = owner.forward, 1
    try:
        parameters = list(inspect.signature(func).parameters.values())[skip:]
    except (TypeError, ValueError):
        return names
    for i, p in enumerate(parameters[:len(inputs)]):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.KEYWORD_ONLY):
            break
        names[i] = p.name
    return names


# ---------------------------------------------------------------------------------------------------------------------
# before: does the same input give the same output?

def _same_twice(subject, report):
    before = _snapshot(subject)
    outputs = subject.graph()
    if not outputs:
        cut = "no output is a float tensor that requires a gradient. The graph was cut on the way: by .detach(), .data, " \
              ".numpy(), no_grad(), or a result that is all integers."
        report.problems.append(cut)
        return
    first, second = np.concatenate([np.ravel(y.data) for y in outputs]), subject.values()
    if first.shape != second.shape or np.abs(first - second).max(initial=0) > 1e-9 * np.abs(first).max(initial=0):
        report.problems.append("the function returned different values for the same input: is dropout on? Call .eval(), "
                               "or seed inside the function: minitorch.manual_seed(0).")
    elif outputs[0].data.dtype.itemsize < 8:
        report.problems.append(f"the inputs are float64, but the result is {outputs[0].data.dtype}: something inside "
                               "rounds. Remove .float(), or call .double() on the module, so that slopes can be measured.")
    _unchanged(subject, before, "forward", report)


def _snapshot(subject):
    return [x.data.copy() if isinstance(x, Variable) else None for x in [*subject.inputs, *subject.leaves.values()]]


def _unchanged(subject, before, when, report):
    named = [f"input {i}" for i in range(len(subject.inputs))] + [f"'{n}'" for n in subject.leaves]
    for what, x, old in reversed(list(zip(named, [*subject.inputs, *subject.leaves.values()], before, strict=True))):
        if old is not None and not np.array_equal(x.data, old, equal_nan=old.dtype.kind == "f"):
            report.problems.append(f"{when} wrote into {what}. Inputs belong to the caller: make a new array.")
            x.data[...] = old
            return


# ---------------------------------------------------------------------------------------------------------------------
# the comparison

def _gradients(subject, report, settings):
    """Compare every input's gradient with its slopes; explain those that are wrong."""
    outputs = subject.graph()
    m = sum(int(np.prod(s)) for s in subject.shapes)
    upstream = settings.rng.normal(size=(2, m))
    if m <= 24 and not settings.fast:     # few outputs: one row of the Jacobian for each
        upstream = np.concatenate([np.eye(m), upstream])
    rows = [subject.gradients(outputs, subject.split(v)) for v in upstream]
    here = subject.values()
    probes = []
    for name, leaf in subject.leaves.items():
        missing = all(row[name] is None for row in rows)
        analytic = np.array([np.zeros(leaf.data.shape) if row[name] is None else row[name] for row in rows])
        probe = _Probe(subject, name, leaf, analytic, upstream, here, settings)
        probe.missing = missing
        probe.run()
        probes.append(probe)
        report.inputs.append(probe.report)
    if not report.ok:
        _explain(subject, report, probes)


class _Probe:
    """One input: its gradients, for k upstream gradients, against slopes along directions."""

    def __init__(self, subject, name, leaf, analytic, upstream, here, settings):
        self.subject, self.leaf, self.analytic, self.upstream, self.here = subject, leaf, analytic, upstream, here
        self.settings = settings
        self.report = InputReport(name, {"complex": "complex step"}.get(settings.method, "finite differences"))
        self.h = _step(leaf.data, settings.eps)
        self.jacobian = {}                 # element → slopes of all outputs
        self.missing = self.on_kink = False
        k = len(upstream)
        self.norm = np.sqrt((analytic.reshape(k, -1) ** 2).sum(1))
        self.largest = np.abs(analytic).max(initial=0)
        self.reach = np.abs(leaf.data).max(initial=0)

    def run(self):
        n, rng = self.leaf.data.size, self.settings.rng
        if not np.isfinite(self.analytic).all():
            self._not_finite()
            return
        if n <= FULL and not self.settings.fast:
            for j in range(n):
                self.element(j)
            return
        elements = [] if self.settings.fast else sorted({0, n - 1, *map(int, rng.choice(n, min(n, 16), replace=False))})
        for j in elements:
            self.element(j)
        for _ in range(3):
            direction = rng.choice([-1.0, 1.0], self.leaf.data.shape) * rng.uniform(0.5, 1.5, self.leaf.data.shape)
            if not self.along(direction) and self.report.worst is None:
                self._search(direction)

    def element(self, j):
        """Move one element."""
        direction = np.zeros(self.leaf.data.shape)
        direction[np.unravel_index(j, direction.shape)] = 1
        return self.along(direction, j)

    def along(self, direction, element=None) -> bool:
        """Compare along one direction; keep count."""
        k = len(self.upstream)
        analytic = (self.analytic.reshape(k, -1) @ direction.ravel())
        scale = self.largest if element is not None else self.norm.max() * np.sqrt((direction**2).mean())
        numeric, allowed, slopes, kink = self._measure(direction, analytic, scale)
        if element is not None:
            self.jacobian[element] = slopes
        error = np.abs(analytic - numeric)
        wrong = ~(error <= allowed)
        report = self.report
        report.checked += k
        report.kinks += k * kink if not wrong.any() else 0
        report.off += int(wrong.sum())
        excess = np.where(np.isnan(error), np.inf, error) if wrong.any() else error * (not kink)
        worst = int(np.argmax(excess / np.maximum(allowed, 1e-300) if wrong.any() else excess))
        relative = float(excess[worst] / max(scale, np.abs(numeric).max(initial=0), 1e-300)) if excess[worst] else 0.0
        first = wrong.any() and report.verdict == "right"
        better = wrong.any() and (report.worst is None or relative > report.max_error) and element is not None
        if first or better or (report.verdict == "right" and relative > report.max_error):
            report.max_error, report.analytic, report.numeric = relative, float(analytic[worst]), float(numeric[worst])
            report.allowed = float(allowed[worst])
            if element is not None:
                report.worst = tuple(map(int, np.unravel_index(element, self.leaf.data.shape)))
            else:
                report.worst = None
        if wrong.any():
            report.verdict = "wrong"
        return not wrong.any()

    def _measure(self, direction, analytic, scale):
        """→ slopes of the k weighted sums of outputs, what is allowed, slopes of each output, is it a kink?"""
        V = self.upstream
        if self.settings.method == "complex":
            slopes = self.subject.complex_slope(self.leaf, direction)
            weight = np.abs(V) @ np.abs(slopes)
            return V @ slopes, 1e-12 * (np.maximum(scale, weight) + np.abs(analytic)), slopes, False
        sums, each = [], []
        for shrink in SHRINK:
            slopes = self._slopes(direction, self.h * shrink)
            sums.append(V @ slopes)
            each.append(slopes)
            allowed = self._allowed(analytic, sums[-1], scale, self.h * shrink)
            if (np.abs(analytic - sums[-1]) <= allowed).all():
                return sums[-1], allowed, slopes, False
        # no single step agrees everywhere: for each sum take the step at which the slope has settled best
        sums, each = np.array(sums), np.array(each)
        change = np.abs(np.diff(sums, axis=0))
        best = np.where(np.isnan(change), np.inf, change).argmin(0)
        numeric = sums[best, np.arange(len(V))]
        allowed = self._allowed(analytic, numeric, scale, self.h * SHRINK[-1])
        settled = np.minimum(10 * np.take_along_axis(change, best[None], 0)[0], 1e-5 * scale)
        allowed = allowed + np.where(np.isnan(settled), 0, settled)
        if (np.abs(analytic - numeric) <= allowed).all():
            return numeric, allowed, each[best.max()], False
        low, high, kink = self._between(direction, each)
        room = allowed + 1e-6 * (np.abs(low) + np.abs(high))
        if kink and ((low - room <= analytic) & (analytic <= high + room)).all():
            return analytic, allowed, each[-1], True
        if kink:
            numeric = np.clip(analytic, low, high)
            self.on_kink = True
        return numeric, allowed, each[best.max()], False

    def _slopes(self, direction, h):
        """(f(x−2h) − 8 f(x−h) + 8 f(x+h) − f(x+2h)) / 12h, for every output."""
        a, b, c, d = self.subject.moved(self.leaf, direction, (-2 * h, -h, h, 2 * h))
        return (a - d + 8 * (c - b)) / (12 * h)

    def _between(self, direction, each):
        """The least and the largest right answer, if outputs have a kink here: left and right slopes differ for good."""
        V, gaps, sides = self.upstream, [], []
        for h in (self.h * 2.0**-3, self.h * 2.0**-9):
            l2, l1, r1, r2 = self.subject.moved(self.leaf, direction, (-2 * h, -h, h, 2 * h))
            left, right = (l2 - 4 * l1 + 3 * self.here) / (2 * h), (4 * r1 - 3 * self.here - r2) / (2 * h)
            gaps.append(np.abs(left - right))
            sides.append((left, right))
        (left, right), noise = sides[1], 50 * EPSILON * np.abs(self.here) / (self.h * 2.0**-9)
        size = np.abs(left) + np.abs(right)
        kink = (gaps[1] > 0.5 * gaps[0]) & (gaps[1] < 2 * gaps[0]) & (gaps[1] > 1e-5 * size + noise)
        left, right = np.where(kink, left, each[-2]), np.where(kink, right, each[-2])
        low = np.minimum(V * left, V * right).sum(1)
        high = np.maximum(V * left, V * right).sum(1)
        return low, high, bool(kink.any())

    def _allowed(self, analytic, numeric, scale, h):
        s = self.settings
        rounding = 8 * EPSILON * (np.sqrt((self.upstream * self.here) ** 2 @ np.ones(len(self.here)))
                                  + np.abs(analytic) * self.reach) / h
        atol = 1e-9 * scale + rounding if s.atol is None else s.atol
        rtol = 1e-7 if s.rtol is None else s.rtol
        return atol + rtol * np.abs(numeric)

    def _search(self, direction):
        """Which element makes a direction disagree? Halve it until one is left."""
        flat, k = np.flatnonzero(direction), len(self.upstream)
        while len(flat) > 1:
            halves = np.array_split(flat, 2)
            errors = []
            for half in halves:
                part = np.zeros(direction.size)
                part[half] = direction.ravel()[half]
                slopes = self._one(part.reshape(direction.shape))
                errors.append(np.abs(self.analytic.reshape(k, -1) @ part - self.upstream @ slopes).max())
            flat = halves[int(errors[1] > errors[0])]
        self.element(int(flat[0]))

    def _one(self, direction):
        if self.settings.method == "complex":
            return self.subject.complex_slope(self.leaf, direction)
        return self._slopes(direction, self.h * SHRINK[1])

    def _not_finite(self):
        k, at = np.argwhere(~np.isfinite(self.analytic))[0][0], np.argwhere(~np.isfinite(self.analytic))[0][1:]
        direction = np.zeros(self.leaf.data.shape)
        direction[tuple(at)] = 1
        numeric = float((self.upstream @ self._slopes(direction, self.h * SHRINK[2]))[k])
        bad = int((~np.isfinite(self.analytic)).sum())
        self.report.verdict, self.report.checked, self.report.off = "wrong", self.analytic.size, bad
        self.report.max_error, self.report.worst = np.inf, tuple(map(int, at))
        self.report.analytic, self.report.numeric = float(self.analytic[(k, *at)]), numeric

    def numeric(self):
        """Every slope of this input, measured: (k, *shape)."""
        n = self.leaf.data.size
        for j in range(n):
            if j not in self.jacobian:
                direction = np.zeros(self.leaf.data.shape)
                direction[np.unravel_index(j, direction.shape)] = 1
                self.jacobian[j] = self._one(direction)
        columns = np.array([self.jacobian[j] for j in range(n)]).reshape(n, -1).T
        return (self.upstream @ columns).reshape(self.analytic.shape), columns


def _step(array, eps):
    """A step fit for these values, a power of two, so that x + h is exact."""
    if eps is not None:
        return eps
    largest = float(np.abs(array).max(initial=0))
    spread = max(float(array.std()) if array.size > 1 else largest, 1e-6 * largest) or 1.0
    return 2.0 ** np.round(np.log2(1e-3 * spread)) if np.isfinite(spread) else 2.0**-10


# ---------------------------------------------------------------------------------------------------------------------
# the explanation

def _explain(subject, report, probes):
    """Add guesses, and the name of the op that is to blame."""
    small = {p.report.name: p for p in probes if p.leaf.data.size <= 2000}
    measured = {name: p.numeric() for name, p in small.items()}
    for name, p in small.items():
        if p.report.verdict == "right":
            continue
        truth, columns = measured[name]
        k = len(p.upstream)
        p.report.guess = guess(Wrong(
            name, p.analytic[k - 2:], truth[k - 2:], p.upstream[k - 2:], columns if columns.size <= 200_000 else None,
            subject.shapes[0] if len(subject.shapes) == 1 else None, p.missing,
            {n: x.data for n, x in subject.leaves.items()}, {n: t[k - 2:] for n, (t, _) in measured.items()}))
    for p in probes:
        if p.report.verdict != "right" and p.on_kink:
            p.report.guess = "The input sits on a kink: the slopes to the left and to the right differ. Either would " \
                             "be right, or a value between."
    report.op = _culprit(subject, probes)


class _Tape:
    """An observer that keeps the nodes, in order, and the gradients that reached them."""

    def __init__(self):
        self.nodes, self.dys = [], {}

    def forward(self, fn, inputs, settings, outputs):
        self.nodes.append(fn)

    def backward(self, fn, dys, gradients):
        self.dys[fn] = [None if dy is None else np.array(on_host(dy)) for dy in dys]


class _Nudge:
    """An observer that moves an output of the i-th op, in the middle of a forward."""

    def __init__(self, i, slot, move):
        self.left, self.slot, self.move = i, slot, move

    def forward(self, fn, inputs, settings, outputs):
        if self.left == 0:
            outputs[self.slot].data = outputs[self.slot].data + on_device_of(self.move, outputs[self.slot])
        self.left -= 1

    def backward(self, fn, dys, gradients):
        pass


def _culprit(subject, probes) -> str | None:
    """The op whose own backward is wrong: what reaches it is right, what it hands on is not."""
    tape = _Tape()
    v = probes[0].upstream[-1]
    with _watching(tape):
        outputs = subject.graph()
        subject.gradients(outputs, subject.split(v))
    reached = [fn for fn in tape.nodes if fn in tape.dys]
    if len({type(fn) for fn in reached}) == 1:
        return type(reached[0]).__name__
    if len(reached) > 60:
        return None
    wrong = {p.leaf for p in probes if p.report.verdict != "right"}
    rng = np.random.default_rng(0)
    for fn in reached:
        for slot, dy in enumerate(tape.dys[fn]):
            if dy is not None and dy.size and not _right_at(subject, tape.nodes.index(fn), slot, dy, v, rng):
                wrong.add((fn, slot))
    # a wrong gradient is explained where an op that handed it on had itself been handed a wrong one
    spoilt = {fn for fn in reached if any((fn, s) in wrong for s in range(fn.outputs))}
    to_blame = []
    for place in wrong:
        users = [fn for fn in reached if place in {p.place for p in fn.parents if p is not None}]
        if not spoilt.intersection(users):
            to_blame += [type(fn).__name__ for fn in users]
    return " or ".join(sorted(set(to_blame))) or None


def _right_at(subject, i, slot, dy, v, rng) -> bool:
    """Is the gradient that reached an op right? Move that op's output and look."""
    direction, h, sums = rng.normal(size=dy.shape), 2.0**-11, []
    for step in (-2 * h, -h, h, 2 * h):
        with _watching(_Nudge(i, slot, step * direction)):
            sums.append(v @ subject.values())
    numeric = (sums[0] - sums[3] + 8 * (sums[2] - sums[1])) / (12 * h)
    return abs((dy * direction).sum() - numeric) <= 1e-5 * np.sqrt((dy * dy).sum()) * np.sqrt(dy.size) + 1e-9


class _watching:  # noqa: N801
    def __init__(self, observer):
        self.observer = observer

    def __enter__(self):
        observers.append(self.observer)

    def __exit__(self, *_):
        observers.remove(self.observer)


# ---------------------------------------------------------------------------------------------------------------------
# after: does backward behave?

def _backward_manners(subject, report, rng, nondet_tol, check_undefined_grad):
    """Same bits twice; nothing written to; any memory layout; unused outputs."""
    before = _snapshot(subject)
    outputs = subject.graph()
    upstream = subject.split(rng.normal(size=sum(int(np.prod(s)) for s in subject.shapes)))
    kept = [v.copy() for v in upstream]
    saved = _frozen_values(outputs)
    first = subject.gradients(outputs, upstream)
    if any(not np.array_equal(v, k) for v, k in zip(upstream, kept, strict=True)):
        report.problems.append("backward wrote into the upstream gradient dy. Others may still need it: make a new array.")
        return
    _unchanged(subject, before, "backward", report)
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(saved, _frozen_values(outputs), strict=True)):
        report.problems.append("backward wrote into an output. Outputs belong to the caller: make a new array.")
    second = subject.gradients(outputs, upstream)
    for name in first:
        apart = _apart(first[name], second[name])
        if apart > nondet_tol or np.isnan(apart):
            report.problems.append(f"backward gave two different gradients of '{name}' for the same input (apart by "
                                   f"{apart:.1g}): does it change what forward saved, add up in random order, or draw a "
                                   "new dropout mask?")
            return
    _layouts(subject, report, upstream, first)
    if check_undefined_grad and len(outputs) > 1:
        _undefined(subject, report, upstream)


def _layouts(subject, report, upstream, expected):
    """The same numbers, laid out in memory in another way, have the same gradients."""
    names = {id(x): n for n, x in subject.leaves.items()}
    inputs, leaves = [], {}
    for x in subject.inputs:
        if isinstance(x, Variable) and x.data.ndim:
            y = x.like(_strided(x.data))
            y._requires_grad = x._requires_grad
            if id(x) in names:
                leaves[names[id(x)]] = y
            x = y
        elif id(x) in names:
            leaves[names[id(x)]] = x
        inputs.append(x)
    tests = {"inputs and dy lie in memory with gaps": (inputs, leaves, [_strided(v) for v in upstream], expected)}
    flat = [np.broadcast_to(np.float64(1.7), s) for s in subject.shapes]
    dense = subject.gradients(subject.graph(), [v.copy() for v in flat])
    tests["dy is one number, broadcast (as .sum() makes it)"] = (subject.inputs, subject.leaves, flat, dense)
    for what, (inputs, leaves, vs, want) in tests.items():
        try:
            got = subject.gradients(subject.graph(inputs), vs, leaves)
        except Exception as error:
            report.problems.append(f"it fails where {what}: {type(error).__name__}: {error}. Use strides, or "
                                   "np.ascontiguousarray.")
            return
        for name in got:
            largest = 0 if want[name] is None else np.abs(want[name]).max(initial=0)
            if not _apart(got[name], want[name]) <= 1e-9 * largest + 1e-12:
                report.problems.append(f"the gradient of '{name}' changes where {what}. Does a loop assume contiguous "
                                       "memory? Use strides, or np.ascontiguousarray.")
                return


def _strided(array):
    """The same values, in every second place of a larger buffer, backwards."""
    if not array.ndim:
        return array
    buffer = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::-2]
    buffer[...] = array
    return buffer


def _undefined(subject, report, upstream):
    for i in range(len(upstream)):
        outputs = subject.graph()
        zeros = [v if j == i else np.zeros_like(v) for j, v in enumerate(upstream)]
        want = subject.gradients(outputs, zeros)
        try:
            got = subject.gradients([outputs[i]], [upstream[i]])
        except Exception as error:
            report.problems.append(f"backward fails when only output {i} is used, so that the gradient of the others is "
                                   f"None: {type(error).__name__}: {error}. Treat None as zero.")
            return
        for name in want:
            largest = 0 if want[name] is None else np.abs(want[name]).max(initial=0)
            if not _apart(got[name], want[name]) <= 1e-9 * largest + 1e-12:
                report.problems.append(f"the gradient of '{name}' is wrong when only output {i} is used, so that the "
                                       "gradient of the others is None. Treat None as zero.")
                return


def _frozen_values(outputs):
    return [y.data.copy() for y in outputs]


def _apart(a, b) -> float:
    if a is None or b is None:
        other = a if b is None else b
        return 0.0 if other is None else float(np.abs(other).max(initial=0))
    return float(np.abs(a - b).max(initial=0)) if not np.array_equal(a, b, equal_nan=True) else 0.0
