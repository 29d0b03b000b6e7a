"""The bench's worker with the quick simulator: for tests of ``minitorch bench --device cuda`` without a GPU."""

import os
import sys
from itertools import chain

from minitorch.bench import worker

import quick_simulator

if __name__ == "__main__":
    first = sys.stdin.readline()
    if "torch\"" not in first.replace("minitorch", ""):
        quick_simulator.install()
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker.main(chain([first], sys.stdin), replies)
