"""A prompt inside one step: the lines of its kernel, one after another, with what each one changed."""

from __future__ import annotations

from os.path import basename
from typing import IO, Any

import numpy as np

from minitorch.explain.into import Line
from minitorch.explain.prompt import Prompt, Unclear, count
from minitorch.explain.show import describe, statistics
from minitorch.explain.stop import Teller
from minitorch.explain.trace import Place, Trace

__all__ = ["KernelStepper"]


_LAST = "The last line: this step is computed. q goes out."


class KernelStepper(Prompt):
    """The prompt inside one step: the lines of its kernel."""

    prompt = "(into) "
    ALIASES = {"next": "n", "step": "s", "back": "b", "continue": "c", "list": "l", "print": "p", "all": "a", "quit": "q",
               "exit": "q", "out": "q", "up": "q", "h": "help", "?": "help", "return": "q", "r": "q"}

    def __init__(self, lines: list[Line], stdin: IO[str] | None = None, stdout: IO[str] | None = None, title: str = ""):
        super().__init__(stdin, stdout)
        self.title, self.at = title, 0
        self.events = _events(lines)
        self.lines = lines
        self.function, self.depth = "", 0           # of the line shown before
        self.comment = ""

    def open(self):
        self.say(["", self.paint(f"Inside {self.title}: {len(self.lines)} lines ran, computed in float64.", "bold"),
                  "n next line, s into helpers, b back, c next pass, a all lines, p NAME, q out"])
        self.show()

    def show(self) -> None:
        """The line we are at."""
        self.say(self.tell(self.at))

    def tell(self, at: int) -> list[str]:
        """One line of the kernel: the pass it belongs to, the line, what it changed."""
        line, kind = self.events[at]
        lines = []
        head = f"{basename(line.file)}, {line.function}"
        if head != self.function:
            lines += ["", self.paint(f"━━ {head} " + "━" * max(2, self.width - len(head) - 4), "bold", "cyan")]
            self.function, self.comment = head, ""
        if line.comment != self.comment:
            self.comment = line.comment
            if line.comment:
                lines += ["", self.paint(f"  # {line.comment}", "magenta")]
        mark = "  ↓ calls" if kind == "calls" else "  ↑ back" if kind == "back" and line.depth < self.depth else ""
        self.depth = line.depth
        lines.append(f"  {line.line:>4}  {self.paint(line.source, 'bold')}{self.paint(mark, 'dim')}")
        if kind != "calls":
            for name, thing in line.changed.items():
                lines += [] if thing is None else ["        " + text for text in describe(name, thing, self.width - 8)]
            if line.source.startswith("return") and "back" not in mark:
                lines += ["        " + text for text in _returned(line.returned, self.width - 8)]
        return lines

    def do_n(self, arg):
        """n [COUNT]: the next line; small helpers are run at once."""
        self._walk(count(arg), range(self.at + 1, len(self.events)))

    def _seen(self, i, limit):
        """Is this event one to stop at, if lines deeper than the limit are run at once?"""
        line, kind = self.events[i]
        return line.depth <= limit and not (kind == "calls" and line.depth >= limit)

    def do_s(self, arg):
        """s: the next line, helpers included."""
        self._to(self.at + 1 if self.at + 1 < len(self.events) else None)

    def do_b(self, arg):
        """b [COUNT]: the line before."""
        self._walk(count(arg), range(self.at - 1, -1, -1))

    def _walk(self, steps, way):
        start = self.at
        for i in way:
            if self._seen(i, max(1, self.events[self.at][0].depth)):
                self.at, steps = i, steps - 1
                if not steps:
                    break
        if self.at != start:
            self.show()
        if steps:
            self.say(_LAST if way.step > 0 else "This is the first line.")

    def do_c(self, arg):
        """c: on to the next numbered pass."""
        here = self.events[self.at][0]
        self._to(next((i for i in range(self.at + 1, len(self.events)) if self._seen(i, 1)
                       and self.events[i][0].comment not in ("", here.comment)), None))

    def _to(self, at):
        if at is None:
            return self.say(_LAST)
        self.at = at
        self.show()

    def do_a(self, arg):
        """a: all lines, one after another, from here; small helpers run at once, and a loop's lines are shown once."""
        shown, skipped = set(), 0
        for i in range(self.at, len(self.events)):
            line, kind = self.events[i]
            if not self._seen(i, 1):
                continue
            if (line.file, line.line, kind) in shown:
                skipped += 1
                continue
            shown.add((line.file, line.line, kind))
            if skipped:
                self.say(self.paint(f"        … the loop goes around again: {skipped} more lines", "dim"))
                skipped = 0
            self.at = i
            self.show()

    def do_l(self, arg):
        """l: the source around this line."""
        line = self.events[self.at][0]
        teller = Teller(Trace(), self.width, self.paint)
        self.say(teller.listing(Place(line.file, line.line, line.function), line.line - 8, 17))

    def do_p(self, arg):
        """p NAME: a local variable, as it is after this line."""
        now: dict[str, Any] = {}
        line = self.events[self.at][0]
        for other, kind in self.events[:self.at + 1]:
            if (other.function, other.depth) == (line.function, line.depth) and kind != "calls":
                now |= other.changed
        name = arg.strip()
        if name not in now:
            raise Unclear(f"There is no {name!r} here yet. There are: {', '.join(now) or 'none'}.")
        self.say(describe(name, now[name], self.width, rows=24))

    def do_show(self, arg):
        """show: this line once more."""
        self.show()

    def default(self, line):
        try:
            self.do_p(line)
        except Unclear:
            self._unknown(line.split(" ")[0])

    def do_help(self, arg):
        """help: the commands."""
        self.say("n the next line; s the next line, helpers included; b the line before; c the next numbered pass;\n"
                 "a all lines; p NAME a local variable; l the source around; q out again. Enter repeats.")


# ---------------------------------------------------------------------------------------------------------------------
# small things

def _events(lines: list[Line]) -> list[tuple[Line, str]]:
    """The lines as one meets them: a line that calls others comes twice, before them and after."""
    events: list[tuple[Line, str]] = []
    waiting: list[Line] = []
    for i, line in enumerate(lines):
        while waiting and waiting[-1].depth >= line.depth:
            events.append((waiting.pop(), "back"))
        if i + 1 < len(lines) and lines[i + 1].depth > line.depth:
            events.append((line, "calls"))
            waiting.append(line)
        else:
            events.append((line, ""))
    return events + [(line, "back") for line in reversed(waiting)]


def _returned(thing, width):
    """What a function returned: numbers if they are few, else only the shapes."""
    things = thing if isinstance(thing, tuple) else (thing,)
    lines = []
    for i, x in enumerate(things):
        name = "returns" if len(things) == 1 else f"returns [{i}]"
        if isinstance(x, np.ndarray) and x.size > 16:
            lines.append(f"{name}   {x.shape}   {statistics(x)}")
        elif x is not None:
            lines += describe(name, x, width)
    return lines
