"""Benchmarks: minitorch, PyTorch and the NumPy reference, side by side, each in a process of its own.

With this package one can

- time anything in several processes in turns     process.Worker, compare.compare
- see what is timed                               ops (single ops), train (training steps): the same text on every side
- know how far a kernel is from its floor         floor.Floor: bytes over copying speed, or operations over BLAS speed
- read and keep the result                        report: a table, a CSV file, a chart

``worker``, ``ops``, ``train`` and ``floor`` are run inside the workers, loaded by their path: PyTorch's process does not
import minitorch, and minitorch's does not import PyTorch, so neither library can change how the other behaves.
"""

__all__: list[str] = []
