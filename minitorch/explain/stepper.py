"""Walk through a recorded run at a prompt, forward and backward, with pdb's habits.

With this file one can

- step                      `Stepper`: ``n``, ``b``, ``c``, ``goto``, ``p``, ``why``, ``probe``, ``into``, ... on a trace

>>> from minitorch import explain
>>> x = minitorch.tensor(3.0, requires_grad=True)
>>> trace = explain.record(lambda: (x * x).backward())
>>> explain.Stepper(trace).run(["goto backward", "why x.grad"])
1 op forward, 1 backward; backward() was called on mul = 9
...
━━ step 2 of 2 ━━ backward ━━ Mul ...
(step) why x.grad
x.grad = 6
             +3   mul.grad (1) × x (3)
             +3   mul.grad (1) × x (3)
  ─────────────
             +6   the sum of 2 parts
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase
from os.path import basename
from typing import IO, Any

import numpy as np

from minitorch.explain.inside import KernelStepper
from minitorch.explain.into import into
from minitorch.explain.probe import probe
from minitorch.explain.prompt import Prompt, Unclear, count
from minitorch.explain.show import describe, number
from minitorch.explain.stop import Teller, input_symbols, output_symbols
from minitorch.explain.trace import Step, Summary, Trace, Value
from minitorch.explain.why import why

__all__ = ["Stepper"]


class Stepper(Prompt):
    """The prompt over a trace. ``Stepper(trace).run()`` asks; ``run(["n", "p x.grad"])`` carries out."""

    prompt = "(step) "
    ALIASES = {
        "next": "n", "back": "b", "prev": "b", "previous": "b", "continue": "c", "cont": "c", "list": "l", "ll": "l all",
        "print": "p", "pp": "p", "g": "goto", "jump": "goto", "j": "goto", "w": "where", "bt": "where", "v": "values",
        "overview": "graph", "o": "graph", "s": "into", "step": "into", "i": "into", "y": "why", "quit": "q", "exit": "q",
        "h": "help", "?": "help", "again": "show", ".": "show", "stop": "break", "r": "leaves", "grads": "leaves",
    }

    def __init__(self, trace: Trace, stdin: IO[str] | None = None, stdout: IO[str] | None = None, title: str = ""):
        super().__init__(stdin, stdout)
        if not len(trace):
            raise ValueError("Stepper: nothing was recorded: no op of minitorch ran while the recorder was on")
        self.trace, self.title, self.at = trace, title, 0
        self.teller = Teller(trace, self.width, self.paint)
        self.breaks: list[str] = []
        self.listed: int | None = None              # the last line that l showed

    @property
    def step(self) -> Step:
        """Where we are."""
        return self.trace[self.at]

    def open(self):
        forward, backward = len(self.trace.forward), len(self.trace.backward)
        roots = [f"{y.name} = {number(y.array.item())}" if y.kept and y.array.size == 1 else y.name
                 for s in self.trace.backward if s.root for y in s.outputs[:1]]
        if self.title:
            self.say(["", self.paint(self.title, "bold")])
        self.say(f"{forward} op{'s'[:forward != 1]} forward, {backward} backward"
                 + (f"; backward() was called on {', '.join(roots[:4])}" + (" ..." if len(roots) > 4 else "")
                    if roots else ". backward() was not called: only forward can be stepped through."))
        self.say("n next, b back, goto backward, p NAME, why NAME, probe NAME, into, graph, help, q")
        self.show()

    def show(self) -> None:
        """Show the step we are at."""
        self.listed = None
        self.say(["", *self.teller.stop(self.step), ""])

    def move(self, at: int) -> None:
        """Go to a step and show it."""
        self.at = at
        self.show()

    # -----------------------------------------------------------------------------------------------------------------
    # moving

    def do_n(self, arg):
        """n [COUNT]: the next op. Forward ops come first, in the order they ran; then backward, from the last to the first.

        An empty line repeats the last command, so Enter goes on."""
        self._walk(count(arg))

    def do_b(self, arg):
        """b [COUNT]: back to the op before. (pdb's b, a breakpoint, is called break here.)"""
        self._walk(-count(arg))

    def _walk(self, count):
        to = self.at + count
        if to < 0 and self.at == 0:
            self.say("This is the first step: there is nothing before it.")
        elif to >= len(self.trace) and self.at == len(self.trace) - 1:
            self._the_end()
        else:
            to = min(max(to, 0), len(self.trace) - 1)
            self._finished_runs(self.at, to)
            self.move(to)

    def _finished_runs(self, start, to):
        """When a backward run was left behind, say what it left in .grad."""
        run = self.trace[start].run
        if run and start <= self.teller.last[run].index < to:
            self.say(self.teller.leaves(run))

    def _the_end(self):
        self.say("This was the last step.")
        if self.step.phase == "backward":
            self.say(self.teller.leaves(self.step.run))
        elif not self.trace.backward:
            self.say("There is no backward: the program called backward() on nothing while it was recorded.")
        self.say("b goes back, goto 1 to the start, q ends.")

    def do_c(self, arg):
        """c [WHAT]: go on to the next stop.

        c            to the next breakpoint, else to the last step
        c line       to the next op of another line of your program
        c phase      to where forward turns into backward, or the next run begins
        c Attention  to the next op of this name
        c block.attn to the next op in this module
        c x          to the next op that uses or makes x"""
        arg = arg.strip()
        after = range(self.at + 1, len(self.trace))
        if not arg:
            found = next((i for i in after if any(self._matches(i, what) for what in self.breaks)), len(self.trace) - 1)
            if found == self.at:
                return self._the_end()
        elif arg == "line":
            here = _line_of(self.step)
            found = next((i for i in after if _line_of(self.trace[i]) != here), None)
        elif arg == "phase":
            here = self.teller.phase(self.step)
            found = next((i for i in after if self.teller.phase(self.trace[i]) != here), None)
        else:
            self._known(arg)
            found = next((i for i in after if self._matches(i, arg)), None)
        if found is None:
            raise Unclear(f"{'No other ' + arg if arg in ('line', 'phase') else arg} comes after this step. "
                           "b goes back; goto looks everywhere.")
        self._finished_runs(self.at, found)
        self.move(found)

    def do_goto(self, arg):
        """goto N | forward | backward | NAME | OP | MODULE: go there, wherever it is.

        goto 12         step 12
        goto backward   the first step of backward; backward 2: of its second run
        goto x          the step that made x; goto x.grad: the first that sent x a gradient
        goto Attention  the next op of this name, from here and then from the start
        goto block.ln1  the same for a module"""
        arg = arg.strip()
        if not arg:
            raise Unclear("goto where? A number from 1 to "
                           f"{len(self.trace)}, forward, backward, a value's name, an op's or a module's.")
        if re.fullmatch(r"-?\d+", arg):
            at = int(arg) - 1
            if not 0 <= at < len(self.trace):
                raise Unclear(f"There is no step {arg}: they are numbered from 1 to {len(self.trace)}.")
            return self.move(at)
        if found := re.fullmatch(r"(forward|backward)(?:\s+(\d+))?", arg):
            return self.move(self._phase(found[1], int(found[2] or 1)))
        name = arg.removesuffix(".grad")
        if arg not in self.trace and name in self.trace and arg != name:
            arrivals = self.trace[name].arrivals
            if not arrivals:
                raise Unclear(f"No gradient reached {name}.")
            return self.move(arrivals[0].step.index)
        if arg in self.trace and self.trace[arg].maker is not None:
            return self.move(self.trace[arg].maker.index)
        self._known(arg)
        around = [*range(self.at + 1, len(self.trace)), *range(self.at + 1)]
        self.move(next(i for i in around if self._matches(i, arg)))

    def _phase(self, phase, run):
        found = next((s.index for s in self.trace if s.phase == phase and self.teller.round[s] == run), None)
        if found is None and phase == "forward" and run == 1:
            found = next((s.index for s in self.trace.forward), None)
        if found is None:
            raise Unclear("There is no backward: the program called backward() on nothing while it was recorded."
                           if not self.trace.backward else f"There are {self.teller.runs} backward runs, not {run}."
                           if self.teller.runs > 1 else f"There is only one backward run, not {run}.")
        return found

    def _known(self, what):
        """Refuse what no step can match, with suggestions."""
        if any(self._matches(i, what) for i in range(len(self.trace))):
            return
        names = {s.op for s in self.trace} | {v.name for v in self.trace.values} | {s.module for s in self.trace if s.module}
        near = get_close_matches(what, sorted(names), 3, 0.5) or \
            [n for n in sorted(names) if n.lower() == what.lower()]
        raise Unclear(f"Nothing here is called {what!r}. "
                       + (f"Did you mean {' or '.join(near)}?" if near else "graph lists the ops, values the names."))

    def _matches(self, i, what) -> bool:
        step = self.trace[i]
        if step.op.lower() == what.lower():
            return True
        if step.module and (step.module == what or step.module.startswith(what + ".")):
            return True
        name = what.removesuffix(".grad")
        if any(isinstance(x, Value) and x.name in (what, name) for x in [*step.inputs, *step.outputs]):
            return what == name or step.phase == "backward"
        file, _, line = what.rpartition(":")
        return line.isdigit() and any(p.line == int(line) and basename(p.file).startswith(file) for p in step.places
                                      if not p.library)

    def do_break(self, arg):
        """break [WHAT]: make c stop there. WHAT is an op, a module, a value or a line, as block.py:19. Alone: list them."""
        arg = arg.strip()
        if arg:
            self._known(arg)
            self.breaks.append(arg)
        self.say(f"c stops at: {', '.join(self.breaks)}" if self.breaks else "No breakpoints. break Attention sets one.")

    def do_clear(self, arg):
        """clear [WHAT]: forget a breakpoint, or all of them."""
        arg = arg.strip()
        if arg and arg not in self.breaks:
            raise Unclear(f"{arg} is no breakpoint. There are: {', '.join(self.breaks) or 'none'}.")
        self.breaks = [b for b in self.breaks if arg and b != arg]
        self.do_break("")

    # -----------------------------------------------------------------------------------------------------------------
    # looking

    def do_show(self, arg):
        """show: this stop once more."""
        self.show()

    def do_l(self, arg):
        """l [LINE | all]: your program around this line; again: the lines after those."""
        place = self.step.place
        if place is None:
            raise Unclear("This was typed at a prompt: there is no file to list.")
        arg = arg.strip()
        if arg == "all":
            first, count = 1, 10**6
        elif arg.isdigit():
            first, count = int(arg) - 5, 11
        elif arg:
            raise Unclear("l, l LINE or l all")
        else:
            first, count = (place.line - 5, 11) if self.listed is None else (self.listed + 1, 11)
        lines = self.teller.listing(place, first, count)
        self.listed = max(1, first) + len(lines) - 1
        self.say(lines or "This was the end of the file.")

    def do_p(self, arg):
        """p NAME | NAME[i, j] | NAME.grad | NAME.grad[i, j]: numbers. Slices work: p x[0, :2].

        values lists the names. So do the letters of this step's formula: p dy, p rstd."""
        if not arg.strip():
            raise Unclear("p what? A name, such as " + ", ".join(v.name for v in self.step.outputs)
                           + ". values lists them all.")
        here = self._symbol(arg.strip())
        if here is not None:
            return self.say(here)
        value, gradient, index = self._value(arg)
        self.say(self.teller.value(value, index, gradient, self.step))

    def do_values(self, arg):
        """values [PATTERN]: the names of all values, with shapes; values block.attn: those that begin with it; *weight."""
        pattern = arg.strip()
        found = [v for v in self.trace.values
                 if not pattern or v.name.startswith(pattern) or fnmatchcase(v.name, pattern)]
        if not found:
            raise Unclear(f"No name begins with or matches {pattern!r}. values lists them all.")
        wide = min(max(len(v.name) for v in found), 50)
        for v in found:
            made = f"step {v.maker.index + 1}, {v.maker.op}" if v.maker else v.kind
            grad = v.grad
            size = "" if grad is None else \
                f"|grad| {number(grad.norm if isinstance(grad, Summary) else float(np.linalg.norm(grad)))}"
            self.say(f"  {v.name:<{wide}}  {str(tuple(v.shape)) if v.shape else 'a number':<16} {made:<24} {size}".rstrip())

    def do_saved(self, arg):
        """saved: what this op's forward kept for its backward."""
        self.say(self.teller.saved(self.step))

    def do_where(self, arg):
        """where: the calls that led to this op: your line, the modules, the library's line."""
        self.say(self.teller.where(self.step))

    def do_graph(self, arg):
        """graph [all]: every op of this run, by module, with the size of its gradient, and where we are."""
        self.say(self.teller.graph(self.step, arg.strip() == "all"))

    def do_leaves(self, arg):
        """leaves: what the backward run left in .grad of every leaf."""
        run = self.teller.round[self.step]
        self.say(self.teller.leaves(run)[1:] or "No backward run follows this step.")

    # -----------------------------------------------------------------------------------------------------------------
    # asking

    def do_why(self, arg):
        """why NAME[i, j] | NAME.grad[i, j]: the products that add up to this number, largest first.

        Without an index: the largest of the array. Without a name: what this step computed."""
        value, gradient, index = self._value(arg) if arg.strip() else self._of_this_step()
        array = value.grad if gradient else value.array
        if array is None:
            return self.say(self.teller.value(value, None, gradient))
        index = self._one(value, array, index, "why", gradient)
        self.say(str(why(self.trace, value.name + ".grad" * gradient, index)))

    def do_probe(self, arg):
        """probe NAME[i, j]: nudge this number up and down, run everything again, and compare the slope with its gradient.

        Without an index: the one with the largest gradient."""
        value, _, index = self._value(arg) if arg.strip() else self._of_this_step()
        array = value.grad if value.grad is not None else value.array
        index = self._one(value, array, index, "probe")
        self.say(str(probe(self.trace, value.name, index)))

    def _of_this_step(self):
        if self.step.phase == "forward":
            return self.step.outputs[0], False, None
        found = next((x for x, g in zip(self.step.inputs, self.step.gradients) if g is not None), None)
        if found is None:
            raise Unclear("This step sends no gradient anywhere.")
        return found, True, None

    def _one(self, value, array, index, command, gradient=False):
        """One element: the one asked for, or the largest."""
        name = value.name + ".grad" * gradient
        if index is not None:
            return index
        if isinstance(array, Summary) or array.size <= 1:
            return () if array.size <= 1 and not array.shape else (0,) * len(array.shape)
        sizes = np.nan_to_num(np.abs(array.astype(np.float64)), nan=np.inf)
        index = tuple(int(i) for i in np.unravel_index(sizes.argmax(), array.shape))
        self.say(self.paint(f"{name} has {array.size} numbers; this is the largest"
                            f"{' gradient' if command == 'probe' else ''}. Any other: {command} {name}"
                            f"[{', '.join(map(str, (0,) * len(index)))}]", "dim"))
        return index

    def do_into(self, arg):
        """into [all]: step inside: the lines that computed this op, in the reference kernel or in your own Function, with
        what each one changed. They run in float64. At their own prompt: n, s, b, c, p, q; into all prints them at once."""
        lines = into(self.trace, self.step)
        if not lines:
            raise Unclear(f"{self.step.op} ran no line that could be shown.")
        inside = KernelStepper(lines, self.stdin, self.stdout, f"{self.step.op}, {self.step.phase}")
        inside.use_rawinput, inside.width, inside.paint = self.use_rawinput, self.width, self.paint
        if arg.strip() == "all":
            inside.do_a("")
        elif arg.strip():
            raise Unclear("into, or into all")
        else:
            inside.run()
            self.lastcmd = ""
            self.say(f"Out again, at step {self.at + 1}: {self.step.op}, {self.teller.phase(self.step)}.")

    # -----------------------------------------------------------------------------------------------------------------
    # names

    def _value(self, text) -> tuple[Value, bool, tuple | None]:
        """ "x.grad[0, 1]" → the value x, whether its gradient is meant, and the index."""
        text = text.strip()
        for value in sorted(self.trace.values, key=lambda v: -len(v.name)):
            if text.startswith(value.name):
                found = re.fullmatch(r"(\.grad)?\s*(?:\[([^\]]*)\])?", text[len(value.name):])
                if found:
                    index = None if found[2] is None else _index(text, found[2], value)
                    return value, bool(found[1]), index
        name = re.sub(r"(\.grad)?\s*(\[[^\]]*\])?$", "", text)
        self.trace[name]                            # says what there is instead
        raise Unclear(f"{text!r} is not understood. Write {name}, {name}.grad or {name}[0, 1].")

    def _symbol(self, text):
        """A letter of this step's formula: dy, rstd, γ; None if it is a value's name, or none of them."""
        step = self.step
        if text in self.trace:
            return None
        things = {}
        for symbol, x in zip(input_symbols(step), step.inputs):
            things[symbol] = x.array if isinstance(x, Value) else x
        for name, thing in step.saved.items():
            things.setdefault(name, thing)
        things |= {s: y.array for s, y in zip(output_symbols(step), step.outputs) if s not in things}
        if step.phase == "backward":
            things |= {"d" + s: dy for s, dy in zip(output_symbols(step), step.dys)}
            things |= {"d" + s: g for s, g in zip(input_symbols(step), step.gradients) if g is not None}
        text = {"gamma": "γ", "beta": "β", "dgamma": "dγ", "dbeta": "dβ"}.get(text, text)
        if text not in things:
            return None
        return describe(text, things[text], self.width, f"   in {step.op}")

    def completedefault(self, text, line, begin, end):
        start = line[:begin].split(" ")[-1] + text
        names = [v.name for v in self.trace.values] + sorted({s.op for s in self.trace} | {s.module for s in self.trace})
        return [name[len(start) - len(text):] for name in dict.fromkeys(names) if name.startswith(start)]

    complete_p = complete_why = complete_probe = complete_c = complete_break = completedefault

    def complete_goto(self, text, line, begin, end):
        return [word for word in ("forward", "backward") if text and word.startswith(text)] \
            + self.completedefault(text, line, begin, end)

    def default(self, line):
        word = line.split(" ")[0]
        try:
            known = self._symbol(line.strip()) or self._value(line)     # a name alone prints it, as in Python
        except (Unclear, KeyError, IndexError):
            known = None
        if known is None:
            self._unknown(word)
        self.do_p(line)

    def do_help(self, arg):
        """help [COMMAND]: this, or more about a command."""
        if not arg:
            return self.say(_HELP)
        name = self.ALIASES.get(arg.strip(), arg.strip()).split(" ")[0]
        method = getattr(self, f"do_{name}", None)
        if method is None:
            self._unknown(arg.strip())
        others = sorted(alias for alias, meant in self.ALIASES.items() if meant == name and alias != "?")
        text = "\n".join(line.strip() if not line.startswith(" " * 12) else line for line in method.__doc__.splitlines())
        self.say(text + (f"\n(also: {', '.join(others)})" if others else ""))


_HELP = """\
Moving    n [COUNT]     the next op; Enter repeats the last command
          b [COUNT]     the op before
          c [WHAT]      on to: line, phase, an op, a module, a value;
                        alone: to a breakpoint, or the end
          goto WHAT     a number, forward, backward, a value, an op, a module
          break, clear  where c stops

Looking   show          this stop once more
          p NAME        numbers: p x, p x[0, 1], p x.grad; a name alone does
                        the same, and so do the letters of the formula: dy
          values        every name
          graph         every op, by module, and where we are
          l             your program around this line
          where         the calls that led here
          saved         what forward kept for backward
          leaves        what backward left in .grad

Asking    why NAME      the products that a number is the sum of:
                        why x.grad[0, 1]
          probe NAME    nudge a number, run again, and compare the slope
                        with its gradient: probe x[0, 1]
          into          step inside the kernel, line by line

          help COMMAND  more about one, and its other names;  q ends

x.grad is d loss / d x: how fast the loss grows when x grows. Backward
computes one for every value on the way; in the end only the leaves keep
theirs, in .grad."""


# ---------------------------------------------------------------------------------------------------------------------
# small things

def _line_of(step: Step):
    place = step.place
    return (step.phase, place.file, place.line) if place else (step.phase, "", 0)


def _index(text: str, inner: str, value: Value) -> tuple:
    """ "0, :2" → (0, slice(None, 2))."""
    index: list[Any] = []
    for part in filter(None, (p.strip() for p in inner.split(","))):
        if part == "...":
            index.append(Ellipsis)
        elif re.fullmatch(r"-?\d+", part):
            index.append(int(part))
        elif re.fullmatch(r"(-?\d+)?:(-?\d+)?(:(-?\d+)?)?", part):
            index.append(slice(*(int(n) if n else None for n in part.split(":"))))
        else:
            raise Unclear(f"{text}: an index is numbers and slices, such as [0, 1] or [0, :2]; not {part!r}")
    given = sum(i is not Ellipsis for i in index)
    if given > len(value.shape):
        raise Unclear(f"{text}: {value.name} has shape {tuple(value.shape)}, so at most {len(value.shape)} indices; "
                       f"got {given}.")
    for axis, i in enumerate(index if Ellipsis not in index else ()):
        if isinstance(i, int) and not -value.shape[axis] <= i < value.shape[axis]:
            raise Unclear(f"{text}: {value.name} has shape {tuple(value.shape)}: index {axis} goes from 0 to "
                           f"{value.shape[axis] - 1}.")
    return tuple(index)
