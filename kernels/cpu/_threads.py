"""Threads: how many the user allows, and what those under ``prange`` can stand."""

import os
import threading

import numba
from numba import config
from numba.np.ufunc import parallel as numba_pool

__all__ = ["allowed_threads", "now", "pool"]


def allowed_threads():
    """How many threads the user's environment allows. Numba sees to its own variable; the two others mean us, too."""
    asked = [os.environ.get(name, "").partition(",")[0] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")]
    if "NUMBA_NUM_THREADS" in os.environ:
        return config.NUMBA_NUM_THREADS
    return min([int(n) for n in asked if n.isdigit() and int(n) > 0], default=config.NUMBA_NUM_THREADS)


def now():
    """How many threads a loop is spread over."""
    return 1 if pool.alone else min(pool.threads(), pool.allowed)


class _Pool:
    """What the threads under ``prange`` can stand, which depends on the library that Numba found for them.

    GNU OpenMP does not survive a fork: a child of a process that used it computes on its one thread, with code compiled
    apart, whose sums may be rounded otherwise in the last digit. ``workqueue`` takes one caller at a time: Python's
    threads take turns. Which library it is, Numba says after the first launch.
    """

    allowed = allowed_threads()     # read once: to look into the environment takes as long as to plan a product
    most = allowed      # threads that a loop may have: fewer while a core is lent
    alone = False       # this process is a fork, and has no other threads
    several = False     # may several Python threads launch at once?

    threads, use = staticmethod(numba.get_num_threads), staticmethod(numba.set_num_threads)

    def __init__(self):
        self.turn = threading.RLock()

    def started(self):
        """Numba's two functions look each time whether there are threads. Now there are: go to what stands below them."""
        self.several = numba.threading_layer() != "workqueue"
        self.threads = getattr(numba_pool, "_get_num_threads", self.threads)
        self.use = getattr(numba_pool, "_set_num_threads", self.use)

    def lend_until(self, over):
        """Leave a core to another process of ours until it is over: a loop waits for the last of its threads."""
        with self.turn:
            self.most -= 1
        over()
        with self.turn:
            self.most += 1

    def after_fork(self):
        """In the child: locks that another thread held would stay closed for ever, and what was lent would not come back."""
        self.turn, self.most = threading.RLock(), self.allowed
        self.alone = self.alone or self.several and numba.threading_layer() == "omp"
        self.several = self.several and not self.alone


pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.after_fork)
