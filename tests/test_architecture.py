"""The rules of docs/architecture.md, checked: who imports whom, equal backends, complete lists, nothing dangerous."""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import minitorch
from minitorch.kernels import cpu, reference

ROOT = Path(__file__).parent.parent
SOURCES = sorted(p for folder in ("minitorch", "kernels") for p in (ROOT / folder).rglob("*.py")
                 if p.parent.name != "programs")    # those are examples: nothing imports them
FAMILIES = sorted(m.name for m in pkgutil.iter_modules(reference.__path__) if not m.name.startswith("_"))

# A module may import those to its right. What stands in one entry may import each other only downwards, file by file.
LAYERS = [
    {"cli", "__main__", "pytest_plugin"},
    {"bench", "gradcheck", "diagnosis", "layer_checks", "warmup"},
    {"train"},
    {"models", "explain", "data", "io"},
    {"optim", "nn", "utils"},
    {"linalg", "cuda", "creation"},
    {"tensor"},
    {"ops", "_html", "_printing", "random"},
    {"autograd", "errors"},
    {"kernels"},
]


def layer(module):
    part = module.split(".")[1] if "." in module else "minitorch"
    return next((i for i, names in enumerate(LAYERS) if part in names), -1)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("minitorch", *parts) if parts[0] == "kernels" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path):
    """Modules imported while this one is imported: not those under TYPE_CHECKING and not those inside functions."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]

    def visit(nodes):
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(package.split(".")[:len(package.split(".")) - node.level + 1]) if node.level else ""
                module = ".".join(filter(None, [base, node.module]))
                for alias in node.names:
                    full = f"{module}.{alias.name}"
                    yield full if module_exists(full) else module
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            elif not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield from visit(getattr(node, "body", []))
    return set(visit(tree_of(path).body))


def module_exists(name):
    return name in MODULES


MODULES = {module_name(p): p for p in SOURCES}
ALL_TEXT = "\n".join(p.read_text(encoding="utf-8") for p in SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_one_way(path):
    me = module_name(path)
    for other in imports_of(path):
        if other.split(".")[0] != "minitorch" or other == "minitorch" or me == "minitorch":
            continue
        assert layer(me) >= 0 and layer(other) >= 0, f"{me} -> {other}: name their layer in this file"
        assert layer(me) <= layer(other), f"{me} imports {other}, which stands above it"


def test_no_cycles():
    graph = {name: {o for o in imports_of(path) if o in MODULES and o != name} for name, path in MODULES.items()}
    graph = {name: {o for o in others if not name.startswith(o + ".")} for name, others in graph.items()}
    done, path = set(), []

    def visit(name):
        assert name not in path, "imports go in a circle: " + " -> ".join([*path[path.index(name):], name])
        if name in done:
            return
        path.append(name)
        for other in sorted(graph[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def test_kernels_know_nothing_of_the_graph():
    for path in (ROOT / "kernels").rglob("*.py"):
        for other in imports_of(path):
            assert not other.startswith("minitorch") or other.startswith("minitorch.kernels"), f"{path} imports {other}"


def test_bare_kernels_is_never_imported():
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]:
        for node in ast.walk(tree_of(path)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(n == "kernels" or n.startswith("kernels.") for n in names), path


def test_imports_stand_at_the_top():
    for path in SOURCES:
        if path.parent.name == "pytest_plugin":
            continue  # pytest starts without loading the engine
        for function in ast.walk(tree_of(path)):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, (ast.Import, ast.ImportFrom)):
                        names = [a.name for a in node.names]
                        heavy = {"numba", "matplotlib", "ctypes", "concurrent.futures"}
                        is_heavy = isinstance(node, ast.Import) and set(names) <= heavy
                        assert is_heavy, f"{path}:{node.lineno} imports {names} inside a function"


@pytest.mark.parametrize("family", FAMILIES)
def test_backends_have_equal_names_and_signatures(family):
    ours = importlib.import_module(f"minitorch.kernels.reference.{family}")
    theirs = importlib.import_module(f"minitorch.kernels.cpu.{family}")
    assert list(ours.__all__) == list(theirs.__all__)
    for name in ours.__all__:
        expected, got = inspect.signature(getattr(ours, name)), inspect.signature(getattr(theirs, name))
        assert list(expected.parameters) == list(got.parameters), f"{family}.{name}: {expected} and {got}"
        assert [p.default for p in expected.parameters.values()] == [p.default for p in got.parameters.values()], name


def test_every_reference_family_has_a_cpu_twin_and_the_other_way():
    cpu_families = sorted(m.name for m in pkgutil.iter_modules(cpu.__path__) if not m.name.startswith("_"))
    assert cpu_families == FAMILIES


def test_no_kernel_name_stands_in_two_families():
    seen = {}
    for family in FAMILIES:
        for name in importlib.import_module(f"minitorch.kernels.reference.{family}").__all__:
            assert name not in seen, f"{name} is in {seen[name]} and in {family}"
            seen[name] = family
            assert getattr(reference, name).__module__.endswith("." + family), name


def test_every_forward_has_a_backward():
    names = [n for f in FAMILIES for n in importlib.import_module(f"minitorch.kernels.reference.{f}").__all__]
    for name in names:
        stem, _, kind = name.rpartition("_")
        if kind in ("forward", "backward"):
            assert f"{stem}_forward" in names and f"{stem}_backward" in names, name


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name not in ("__init__.py", "__main__.py")], ids=module_name)
def test_all_is_complete_and_sorted(path):
    names = getattr(importlib.import_module(module_name(path)), "__all__", None)
    assert names is not None, f"{path.name} has no __all__"
    assert list(names) == sorted(set(names)), f"__all__ of {path.name} is not sorted"
    module = importlib.import_module(module_name(path))
    assert all(hasattr(module, n) for n in names)
    # what has a public name is exported, or else used: by its own file, or lent to another
    for node in tree_of(path).body:
        name = getattr(node, "name", "_")
        if not name.startswith("_") and name not in names:
            assert len(re.findall(rf"\b{name}\b", ALL_TEXT)) > 1, f"{path.name}: {name} is neither in __all__ nor used"


def test_every_module_and_optimiser_is_exported():
    for package, base in [(minitorch.nn, minitorch.nn.Module), (minitorch.optim, minitorch.optim.Optimizer)]:
        for name in MODULES:
            if name.startswith(package.__name__ + "."):
                for thing in vars(importlib.import_module(name)).values():
                    if inspect.isclass(thing) and issubclass(thing, base) and not thing.__name__.startswith("_"):
                        assert thing.__name__ in package.__all__, f"{package.__name__}.__all__ lacks {thing.__name__}"


def test_nothing_dangerous():
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]:
        for node in ast.walk(tree_of(path)):
            where = f"{path}:{getattr(node, 'lineno', '?')}"
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [a.name for a in node.names] + [getattr(node, "module", "") or ""]
                assert not {m.split(".")[0] for m in modules} & {"pickle", "cPickle", "dill", "marshal", "shelve"}, where
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", "")
                assert called not in ("eval", "exec", "compile"), where
                for keyword in node.keywords:
                    value = getattr(keyword.value, "value", None)
                    assert not (keyword.arg in ("fastmath", "allow_pickle") and value is True), where


def test_op_docstrings_have_the_five_headings():
    for path in (ROOT / "minitorch" / "ops").glob("*.py"):
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and any(getattr(b, "id", "") == "Function" for b in node.bases):
                text = ast.get_docstring(node) or ""
                for heading in ("Forward ", "Backward ", "Saved ", "Shapes ", "Derived in docs/"):
                    assert f"\n{heading}" in text, f"{path.name}: {node.name} lacks {heading.strip()}"


def test_the_package_says_who_it_is():
    assert minitorch.kernels.__version__ == "0.0.0"      # below every version of Hugging Face's `kernels` in use
    assert minitorch.kernels.__name__ == "minitorch.kernels"
