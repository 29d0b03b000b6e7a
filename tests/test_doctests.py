"""The examples in docstrings are true. They see the names ``minitorch`` and ``np``."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import minitorch

MODULES = ["minitorch", *(m.name for m in pkgutil.walk_packages(minitorch.__path__, "minitorch.")
                          if "kernels" not in m.name and not m.name.endswith(("__main__", "pytest_plugin")))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    minitorch.manual_seed(0)
    result = doctest.testmod(module, extraglobs={"minitorch": minitorch, "np": np}, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    count = sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert count > 300
