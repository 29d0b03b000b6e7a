"""What the stepper's two prompts share: echo in pipes, aliases, suggestions, Ctrl-C."""

from __future__ import annotations

import cmd
import re
import shutil
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import IO

import minitorch.kernels as kernels
from minitorch.explain.show import Paint, plain_where_needed

__all__ = ["Prompt", "Unclear", "count"]


class Unclear(Exception):
    """A command that cannot be carried out; the text says what to write instead."""


class Prompt(cmd.Cmd):
    """A prompt over a terminal, a pipe or a list of commands."""

    ALIASES: dict[str, str] = {}
    doc_leader = ""

    def __init__(self, stdin: IO[str] | None = None, stdout: IO[str] | None = None):
        super().__init__(stdin=stdin, stdout=stdout)
        self.interactive = self.stdin.isatty()
        self.use_rawinput = self.interactive and self.stdin is sys.stdin
        self.paint = Paint(self.stdout)
        self.width = shutil.get_terminal_size((100, 40)).columns
        plain_where_needed(self.stdout)

    def run(self, commands: Iterable[str] | None = None) -> None:
        """Ask for commands until q; or carry out these."""
        if commands is not None:
            self.preloop()
            for line in commands:
                self.say(self.prompt + line)
                if self.onecmd(line):
                    return
            return
        while True:
            try:
                self.cmdloop()
                return
            except KeyboardInterrupt:
                self.say("\n(q, or Ctrl-D, ends)")
                self.intro = None
                self.started = True

    started = False

    def preloop(self):
        if not self.started:
            self.started = True
            self.open()

    def open(self) -> None:
        """What to show first."""

    def precmd(self, line):
        if not self.use_rawinput:
            self.say("" if line == "EOF" else line)     # so that a transcript reads like a session
        return line

    def onecmd(self, line):
        word, _, rest = line.strip().partition(" ")
        if word in self.ALIASES:
            line = f"{self.ALIASES[word]} {rest}".strip()
        try:
            with kernels.quiet():                           # infinities are shown, not warned of
                return super().onecmd(line)
        except (Unclear, ValueError, IndexError, KeyError) as error:
            self.say(str(error.args[0]) if error.args else str(error))
        except BrokenPipeError:
            raise
        except Exception as error:                          # an op of the user's own, run again, may do anything
            self.say(f"This failed: {type(error).__name__}: {error}")
        return False

    def say(self, text: str | Iterable[str] = "") -> None:
        """Print a line, or several."""
        self.stdout.write((text if isinstance(text, str) else "\n".join(text)) + "\n")
        self.stdout.flush()

    def completenames(self, text, *ignored):
        return [name for name in super().completenames(text) if name != "EOF"]

    def do_q(self, arg):
        """q: end."""
        return True

    def do_EOF(self, arg):
        """Ctrl-D: end."""
        if self.use_rawinput:
            self.say()
        return True

    def _commands(self):
        return [name[3:] for name in self.get_names() if name.startswith("do_") and name != "do_EOF"]

    def _unknown(self, word):
        near = get_close_matches(word, [*self._commands(), *self.ALIASES], 2, 0.6)
        raise Unclear(f"There is no command {word!r}. " + (f"Did you mean {' or '.join(near)}?" if near else
                                                          "help lists them."))


def count(arg: str) -> int:
    """How many steps: 1 unless said."""
    if arg.strip() and not re.fullmatch(r"[1-9]\d*", arg.strip()):
        raise Unclear(f"{arg.strip()!r} is no number of steps")
    return int(arg) if arg.strip() else 1
