"""Where kernels are compiled, and where they are kept: in processes of their own, and in a private folder.

The process that computes does not compile. It asks another one, which leaves the kernel in the folder, and loads it from
there, for two reasons. Numba compiles a loop in parts and links them into each other; where the parts still lie
about, a call may reach one that was optimised apart, and a float32 sum is ordered otherwise than in every later process.
And while one kernel is waited for, a further process compiles what a training step will need next: see ``_ahead``.

Numba's cache does not notice that an option or a function in another file changed, and its files are pickles. So the folder
belongs to the user alone, and its name is a hash of every kernel source and the versions: whatever changes, the folder
changes. ``NUMBA_CACHE_DIR`` and ``XDG_CACHE_HOME`` move it. Without a folder each process compiles for itself.
"""

import atexit
import hashlib
import json
import os
import platform
import re
import stat
import subprocess
import sys
import warnings
import zlib
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

try:
    import fcntl
except ImportError:     # Windows
    fcntl = None

import llvmlite
import numba
import numpy as np
from numba import config, njit, types
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

from ._shared import loading
from ._threads import allowed_threads, pool

__all__ = ["ahead", "cache_folder", "kept", "serve", "settle", "take_turns"]

PACKAGE = __name__.partition(".cpu.")[0]
MOST = 4        # processes that compile at once
IDLE = 60       # seconds without a question, after which the one that answers goes


def kept(function, place="", **options):
    """Let Numba compile a function when it is first called, once per list of types.

    Its cache does not tell options apart: two versions of a function need two places.
    """
    dispatcher, folder = njit(**options)(function), cache_folder()
    if folder is not None and not config.DISABLE_JIT:
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder / place)
        try:
            dispatcher._cache = _Kept(dispatcher, place)
        finally:
            config.CACHE_DIR = before
    return dispatcher


class _Kept(FunctionCache):
    """Numba's cache of one kernel; what is missing there may come from another process."""

    def __init__(self, dispatcher, place):
        super().__init__(dispatcher.py_func)
        self.name = dispatcher.py_func.__module__, dispatcher.py_func.__qualname__, place
        _kernels[self.name] = dispatcher

    def load_overload(self, sig, target_context):
        with loading():
            found = self.find(sig, target_context)
        if found is None and _turns:
            self.turn("LOCK_EX")
            found = self.find(sig, target_context)
            if found is not None:
                self.turn("LOCK_UN")
        elif found is None and _helpers().make(self.name, sig):
            found = self.find(sig, target_context)
        return found

    def find(self, sig, target_context):
        """What lies in the folder. It is compiled: Numba would import everything that it compiles with, first."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def save_overload(self, sig, data):
        super().save_overload(sig, data)
        if _turns:
            self.turn("LOCK_UN")

    def turn(self, what):
        """One process at a time compiles a kernel: it holds a byte of a file. If it dies, the system takes that back."""
        if _turns[0] is not None:
            with suppress(OSError):     # no locks in this folder, so two may do the same
                fcntl.lockf(_turns[0], getattr(fcntl, what), 1, zlib.crc32(repr(self.name).encode()))


_kernels: dict = {}     # (module, name in it, place) → dispatcher
_turns: list = []       # in a process that compiles for others: the file whose bytes are turns, None if it cannot be shared


# ---------------------------------------------------------------------------------------------------------------------
# the process that computes

class _Helpers:
    """The processes that compile for this one: one that answers, and those that work ahead of it."""

    def __init__(self):
        self.answering, self.ahead, self.possible = None, None, bool(sys.executable)
        self.lending: list[Thread] = []     # for each that works ahead, one that waits for its end

    def make(self, name, sig):
        """Have a kernel of ours compiled for these types. False: nobody can, so this process has to."""
        words = _words(sig)
        if _turns or words is None or not name[0].startswith(PACKAGE):
            return False
        _notice.tell(name[0])
        for _ in range(2):      # one that was not needed for a while is gone
            try:
                if self.answering is None and not self.start(words):
                    return False
                print(json.dumps([name, words]), file=self.answering.stdin, flush=True)
                return _line(self.answering.stdout)
            except (OSError, EOFError, ValueError):     # ValueError: something else wrote to where answers are
                self.dismiss()
            except BaseException:       # Ctrl-C: its answer would be taken for that to the next question
                self.dismiss()
                raise
        return False

    def start(self, words):
        """Start them; whether there is one that answers, and uses the same folder."""
        if not self.possible:
            return False
        self.possible = False       # until it has said so
        self.answering = _process("serve()")
        self.possible = _line(self.answering.stdout) == _place()
        if not self.possible:
            self.dismiss()
        elif fcntl and self.ahead is None:
            dtype = "float64" if any("float64[" in str(word) for word in words) else "float32"
            others = min(allowed_threads(), MOST) - 1
            self.ahead = [_process(f"ahead({i}, {others}, {dtype!r})", stderr=subprocess.DEVNULL) for i in range(others)]
            self.lending = [Thread(target=pool.lend_until, args=[process.wait], daemon=True) for process in self.ahead]
            for thread in self.lending:
                thread.start()
        return self.possible

    def dismiss(self):
        """Let the one that answers go; the next question starts another."""
        _end(self.answering)
        self.answering = None

    def end(self):
        """What nobody waits for any more need not be finished."""
        for process in [self.answering, *(self.ahead or [])]:
            _end(process)


_all: dict[int, _Helpers] = {}      # by process: a fork starts its own


def _helpers():
    return _all.setdefault(os.getpid(), _Helpers())


def settle():
    """Wait until nothing is compiled ahead any more: whoever measures this machine wants it for himself."""
    for thread in _helpers().lending:
        thread.join()


@atexit.register
def _farewell():
    _helpers().end()


def _process(does, **streams):
    program = f"import sys; sys.path[:] = {[*map(str, sys.path)]}; from {__name__} import *; {does}"
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **streams,
                            text=True, encoding="utf-8", env={**os.environ, "MINITORCH_QUIET": "1"},
                            start_new_session=True)     # Ctrl-C is not for it


def _end(process):
    if process:
        process.kill()
        process.wait()
        process.stdout.close()
        with suppress(BrokenPipeError):     # a question that nobody reads
            process.stdin.close()


# ---------------------------------------------------------------------------------------------------------------------
# the processes that compile

def take_turns():
    """From now on this process compiles for itself, and for all others: no kernel that another one is at."""
    if not _turns:
        folder = cache_folder()
        _turns.append(os.open(folder / "turns", os.O_RDWR | os.O_CREAT, 0o600) if folder and fcntl else None)


def serve():
    """Compile what is asked for, and say whether that was possible."""
    take_turns()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)       # what a compiler prints is no answer
    questions = _questions()
    answer = _place()
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        try:
            name, words = questions.get(timeout=IDLE)
        except Empty:
            return
        answer = _make(tuple(name), words)


def ahead(part, parts, dtype):
    """Compile what a training step is likely to ask for next."""
    take_turns()
    _questions()        # none will come, but an end
    os.nice(5)
    for use in list(import_module("._ahead", __package__).steps(np.dtype(dtype)))[part::parts]:
        use()


def _make(name, words):
    module, function, _ = name
    try:
        getattr(import_module(module), function, None)      # some are made when they are first asked for
        _kernels[name].compile(tuple(map(_type, words)))
        return True
    except Exception:       # who asked will meet it, too, and show it
        if name in _kernels:
            _kernels[name]._cache.turn("LOCK_UN")
        return False


def _questions():
    """What comes in. When there is nobody any more who could ask, this process ends."""
    questions = SimpleQueue()

    def read():
        try:
            while True:
                questions.put(_line(sys.stdin))
        except EOFError:
            os._exit(0)

    Thread(target=read, daemon=True).start()
    return questions


# ---------------------------------------------------------------------------------------------------------------------
# what they say to each other: JSON, a line each

def _line(file):
    line = file.readline()
    if not line:
        raise EOFError
    return json.loads(line)


def _words(sig):
    """Types as texts: "float32", "float32[2]" for an array in C order, a list for a tuple. None: there is no text."""
    words = [*map(_word, sig)]
    try:
        return words if [*map(_type, words)] == [*sig] else None
    except (TypeError, AttributeError, NotImplementedError):
        return None


def _word(t):
    return ([*map(_word, t)] if isinstance(t, types.BaseTuple) else f"{t.dtype}[{t.ndim}]" if isinstance(t, types.Array)
            else str(t))


def _type(word):
    if isinstance(word, list):
        return types.Tuple([*map(_type, word)])
    name, ndim = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", word).groups()
    t = numba.from_dtype(np.dtype(name))
    return types.Array(t, int(ndim), "C") if ndim else t


# ---------------------------------------------------------------------------------------------------------------------
# what the user sees

class _Notice(event.Listener):
    """A cold machine must not wait in silence: one line, when this process first waits for the compiler."""

    told = False

    def tell(self, module):
        if self.told or os.environ.get("MINITORCH_QUIET"):
            return
        self.told = True
        kept = "kept for the next start" if cache_folder() else "not kept: no folder for them can be written"
        print(f"minitorch: compiling {module.rpartition('.')[2]} for this machine. Each kernel takes 1 to 5 "
              f"seconds when it is first used ({kept}); 'minitorch warmup' compiles all of them ahead.", file=sys.stderr)

    def on_start(self, event):
        module = getattr(getattr(event.data["dispatcher"], "py_func", None), "__module__", None)
        if module and module.startswith(PACKAGE):       # a function made by exec has none
            self.tell(module)

    def on_end(self, event):
        pass


_notice = _Notice()
event.register("numba:compile", _notice)


# ---------------------------------------------------------------------------------------------------------------------
# the folder

def _place():
    """What two processes must agree in, for one to load what the other compiled: folder, and whose product."""
    return [str(cache_folder().absolute()), import_module("._blas", __package__).AVAILABLE]


_folder: list = []


def cache_folder():
    """The private folder for compiled kernels, made on first use; None where none can be had."""
    if not _folder:
        base = os.environ.get("NUMBA_CACHE_DIR")
        if not base:
            base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "minitorch")
        folder = Path(base) / f"kernels-{_fingerprint()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_unless_private(folder)
            probe = folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
            _folder.append(folder)
        except OSError as error:
            warnings.warn(f"minitorch: compiled kernels are not kept ({error}); every start compiles again. "
                          "Set NUMBA_CACHE_DIR to a folder of your own.", RuntimeWarning, stacklevel=2)
            _folder.append(None)
    return _folder[0]


def _refuse_unless_private(folder):
    if os.name == "posix":
        info = folder.stat()
        if info.st_uid != os.geteuid() or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(f"{folder} can be written by others, and cached kernels are code")


def _fingerprint():
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        if path.parent.name != "cuda":
            digest.update(path.read_bytes())
    versions = numba.__version__, llvmlite.__version__, np.__version__, platform.python_version()
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas")
    digest.update(repr((versions, blas, config.BOUNDSCHECK, config.DISABLE_JIT)).encode())
    return digest.hexdigest()[:16]
