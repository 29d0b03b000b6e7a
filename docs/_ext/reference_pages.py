"""The reference pages, written from the code at each build: what exists is on them, and nothing else.

- a page for each namespace, its functions and classes grouped as their files are
- the formulas of every op, from the docstring that the explain tools show, too
- the kernels and their calling convention
- the commands and their options

Docstrings here are plain text with examples. `as_rst` shows them as they stand.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import minitorch
from minitorch import cli, kernels, ops
from minitorch.autograd import Function

__all__ = ["as_rst", "commands_page", "formulas", "formulas_page", "names_of", "quick", "setup"]

OUT = Path(__file__).parent.parent / "api" / "generated"
NAMESPACES = {  # page → its namespaces
    "tensors": ["minitorch"],
    "nn": ["minitorch.nn"],
    "functional": ["minitorch.nn.functional", "minitorch.nn.init", "minitorch.nn.utils"],
    "optim": ["minitorch.optim", "minitorch.optim.lr_scheduler"],
    "autograd": ["minitorch.autograd", "minitorch.gradcheck"],
    "explain": ["minitorch.explain"],
}
TITLES = {"tensors": "minitorch: tensors and their functions", "nn": "minitorch.nn: layers",
          "functional": "minitorch.nn.functional, init and utils", "optim": "minitorch.optim: optimisers",
          "autograd": "minitorch.autograd and gradcheck", "explain": "minitorch.explain: look inside"}
FORMULAS = re.compile(r"^Forward .*?(?=^Derived)", re.M | re.S)
# minitorch.explain has no families to sort by: record first, then look, then find faults.
EXPLAIN = "recorder trace why probe into stepper stop script player flow stacks lab finite causal reach".split()
ENTRY = re.compile(r"([*\w]+(?:, [*\w]+)*)( : .*)?$")
DERIVED = re.compile(r"^Derived in docs/(\S+)\.md", re.M)


def quick(gallery_conf, script_vars):
    """The command line of the examples while the gallery runs them."""
    return ["--quick"]


# ---------------------------------------------------------------------------------------------------------------------
# a docstring as reStructuredText

def as_rst(text: str) -> str:
    """Plain text with ``code``, - lists, >>> examples, tables, sections and indented formulas, as reST that shows it."""
    lines: list[str] = []
    before = "text"
    for line in _sections(text.split("\n")):
        new = not lines or not lines[-1]  # a paragraph begins here
        kind = _kind(line, before)
        if kind in ("formula", "table") and kind != before:
            lines += [*([] if new else [""]), "::", ""]
        elif kind != before and not new and line:
            lines.append("")
        shown = _escaped(line) if kind in ("text", "list") else line
        lines.append("    " + line if kind == "table" and line else shown)
        before = kind
    return "\n".join(lines)


def _sections(lines):
    """NumPy's sections: the title becomes a rubric, and each entry, ``name : type`` with its text, an item of a list."""
    inside = entry = False
    for line, below in zip(lines, [*lines[1:], ""]):
        if re.fullmatch("-{3,}", below) and line:
            yield f".. rubric:: {line}"
            inside, entry = True, False
        elif re.fullmatch("-{3,}", line):
            yield ""
        elif inside and (found := ENTRY.match(line)) and (found[2] or below.startswith("    ")):
            yield f"- ``{found[1]}``{found[2] or ''}"
            entry = True
            if below.startswith("    ") and len(line) < 60:
                yield ""
        elif entry and line.startswith("    "):
            yield "  " + line.lstrip()
        else:
            yield line


def _kind(line, before):
    """What a line of a docstring belongs to: text, list, example, formula or table."""
    if not line:
        return before if before in ("list", "formula") else "text"
    if line.startswith(">>>") or before == "example":
        return "example"
    if before == "table" or re.fullmatch(r"=+( +=+)+", line) or re.match(r"(?!- |\d)\S.*\S {3}", line):
        return "table"
    if re.match(r"- |\d+\. |\.\. \w+::", line):
        return "list"
    if line.startswith(" "):
        return before if before in ("list", "formula") else "formula"
    return "text"


def _escaped(line):
    r"""With ``code``, `code` and *emphasis*; what else means something to reST stands as it is. **Bold** becomes plain."""
    line = re.sub(r"(?<!\S)\*\*(?=[A-Z])|(?<=[\w.`])\*\*(?=[\s:.,]|$)", "", line)
    parts = re.split(r"(``.+?``|`[^`]+`|(?<![\w)])\*\w[^*]*(?<=\w)\*(?!\w))", line)
    return "".join(part if i % 2 else re.sub(r"([*_|`\\])", r"\\\1", part) for i, part in enumerate(parts))


def _process(app, what, name, obj, options, lines):
    text = "\n".join(lines)
    if FORMULAS.search(text):
        text = as_rst(text[:FORMULAS.search(text).start()]) + "\n\n" + formulas(text)
    else:
        text = as_rst(text)
    lines[:] = text.split("\n")


# ---------------------------------------------------------------------------------------------------------------------
# the pages

def names_of(module: ModuleType) -> list[str]:
    """The public names of a namespace: functions and classes, no modules and no constants."""
    names = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
    things = {name: getattr(module, name, None) for name in names}
    return [name for name, thing in things.items() if inspect.isroutine(thing) or inspect.isclass(thing)]


def _namespace(name):
    module = importlib.import_module(name)
    groups: dict[str, list[str]] = {}
    for member in names_of(module):
        home = getattr(module, member).__module__ or name
        if home.startswith("minitorch"):
            groups.setdefault(home, []).append(member)
    for home in sorted(groups, key=_place):
        if len(groups) > 1:
            yield from _heading(home.rpartition(".")[2], "-")
            yield from [_escaped(_summary(importlib.import_module(home))), ""]
        yield from _table(name, groups[home])
        for member in groups[home]:
            yield from _entry(name, member, getattr(module, member))


def _place(home):
    """Families in the order in which the engine is built."""
    order = ["minitorch.tensor", "minitorch.creation", "minitorch.random", "minitorch.autograd", "minitorch.ops.",
             *(f"minitorch.explain.{name}" for name in EXPLAIN), ""]
    return next(i for i, start in enumerate(order) if home.startswith(start)), home


def _table(namespace, members):
    yield from [".. autosummary::", "   :nosignatures:", ""]
    yield from [f"   ~{namespace}.{member}" for member in members]
    yield ""


def _entry(namespace, member, thing):
    if not inspect.isclass(thing):
        yield from [f".. autofunction:: {namespace}.{member}", ""]
        return
    yield from [f".. autoclass:: {namespace}.{member}"]
    own = [n for n, value in vars(thing).items() if not n.startswith("_") and value.__doc__
           and getattr(value, "__module__", thing.__module__) == thing.__module__
           and (inspect.isroutine(value) or isinstance(value, property))]
    if own:
        yield f"   :members: {', '.join(own)}"
    yield ""
    if thing is minitorch.Tensor:
        yield from _methods()


def _methods():
    """The methods that are functions of the same name."""
    names = [n for n, value in vars(minitorch.Tensor).items() if not n.startswith("_") and inspect.isfunction(value)
             and value.__module__ != "minitorch.tensor" and hasattr(minitorch, n)]
    yield from ["Also methods are the functions described below: ``x.sum(0)`` is ``minitorch.sum(x, 0)``.", ""]
    yield ", ".join(f":func:`{n} <minitorch.{n}>`" for n in sorted(names)) + "."
    yield ""


def formulas(docstring: str) -> str:
    """The five headings of an op's docstring, as they stand, and a link to the derivation."""
    text = FORMULAS.search(docstring)[0].rstrip()
    page = DERIVED.search(docstring)
    block = ".. code-block:: text\n\n" + "\n".join("   " + line if line else "" for line in text.split("\n"))
    return block + (f"\n\nDerived in :doc:`/{page[1]}`.\n" if page else "\n")


def formulas_page():
    yield from ["Every op of the engine: what it computes, what its backward computes, what it keeps in between.",
                "Each is a class; these lines are its docstring, and the stepper shows them when it stops there.", ""]
    for family in sorted(module.name for module in pkgutil.iter_modules(ops.__path__)):
        module = importlib.import_module(f"minitorch.ops.{family}")
        nodes = [thing for thing in vars(module).values() if inspect.isclass(thing) and issubclass(thing, Function)
                 and thing.__module__ == module.__name__ and FORMULAS.search(inspect.getdoc(thing) or "")]
        if nodes:
            yield from _heading(family, "-")
        for node in nodes:
            docstring = inspect.getdoc(node)
            yield from _heading(node.__name__, "~")
            yield from [as_rst(docstring[:FORMULAS.search(docstring).start()]), "", formulas(docstring), ""]


def _kernels():
    yield from [as_rst(inspect.getdoc(kernels)), ""]
    for family in sorted(kernels.reference.__dict__):
        module = getattr(kernels.reference, family)
        if inspect.ismodule(module) and getattr(module, "__all__", None) and not family.startswith("_"):
            yield from _heading(family, "-")
            yield from [as_rst(inspect.getdoc(module) or ""), "", ".. code-block:: text", ""]
            yield from [f"   {name}{inspect.signature(getattr(module, name))}" for name in module.__all__]
            yield ""


def commands_page():
    for name, summary in cli.COMMANDS.items():
        module = importlib.import_module(f"minitorch.cli.{name.replace('-', '_')}")
        parser = argparse.ArgumentParser(f"minitorch {name}", formatter_class=argparse.RawDescriptionHelpFormatter)
        module.arguments(parser)
        yield from _heading(f"minitorch {name}", "-")
        yield from [_escaped(f"{summary[0].upper()}{summary[1:]}."), "", ".. code-block:: text", ""]
        yield from ["   " + line if line else "" for line in parser.format_help().split("\n")]
        yield ""


def _heading(text, underline):
    return [_escaped(text), underline * (len(_escaped(text)) + 1), ""]


def _summary(module):
    return inspect.getdoc(module).split("\n")[0]


def _write(app):
    OUT.mkdir(exist_ok=True)
    pages = {page: (TITLES[page], [line for name in names for line in _part(name, len(names) > 1)])
             for page, names in NAMESPACES.items()}
    pages["formulas"] = "Every op's formulas", formulas_page()
    pages["kernels"] = "minitorch.kernels: the arithmetic", _kernels()
    pages["commands"] = "The minitorch command", commands_page()
    for name, (title, lines) in pages.items():
        text = "\n".join([*_heading(title, "="), *lines])
        path = OUT / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _part(name, several):
    if several:
        yield from _heading(name, "^")
    yield from _namespace(name)


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", _write)
    app.connect("autodoc-process-docstring", _process, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
