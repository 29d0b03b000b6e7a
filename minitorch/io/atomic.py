"""Replace a file at once: whoever looks, and whenever the power fails, finds the old contents or the new, never half.

`replacing(path)` opens a temporary file in the same folder. When the block ends, the file is flushed to the disk and
renamed; renaming is one step for the file system. When the block fails, the temporary file goes and the old one stays.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends without an error.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from minitorch.io.atomic import replacing
    >>> path = tempfile.mkdtemp() + "/notes.txt"
    >>> with replacing(path) as file:
    ...     size = file.write(b"all of it, or nothing")
    >>> Path(path).read_text()
    'all of it, or nothing'
    """
    target = Path(os.path.realpath(path))  # a link stays a link: what it points to is replaced
    _sweep(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        with suppress(FileNotFoundError):
            os.chmod(temporary, target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """The new name is in the folder, and the folder is a file, too: it must reach the disk."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(target: Path) -> None:
    """Remove what processes left behind that were killed while they replaced this file."""
    if os.name != "posix":
        return
    start = f".{target.name}."
    with suppress(OSError):
        for name in os.listdir(target.parent):
            pid, _, rest = name.removeprefix(start).partition(".")
            if name.startswith(start) and rest.endswith(".tmp") and pid.isdigit() and not _alive(int(pid)):
                with suppress(OSError):
                    os.unlink(target.parent / name)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
