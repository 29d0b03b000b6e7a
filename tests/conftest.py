"""What every test has: the name ``minitorch`` in doctests, and the mark ``parity`` on tests that compare with PyTorch."""

import inspect

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "parity: compares with PyTorch; skipped where that is not installed")


def pytest_collection_modifyitems(items):
    for item in items:
        source = inspect.getsource(item.function) if hasattr(item, "function") else ""
        if "torch" in getattr(item, "fixturenames", ()) or 'importorskip("torch")' in source:
            item.add_marker(pytest.mark.parity)
