"""A folder for what this process put out of its memory; it goes with the process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import IO

_PREFIX = "lira_map_pages_"
_NAME = re.compile(rf"{_PREFIX}(\d+)_\w+")
_LOCK = "lock"


def default_parent() -> Path:
    """Return where large temporary files go: TMPDIR where it is set, otherwise /var/tmp.

    /tmp is part of the memory on many systems; /var/tmp is on a disk (Filesystem Hierarchy Standard 3.0, section 5.15).
    """
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK | os.X_OK):
        return Path("/var/tmp")
    return Path(tempfile.gettempdir())


class PageFolder:
    """A folder of this process, named after it. path: the folder; removed by close(), with the object, or at exit."""

    def __init__(self, parent: Path) -> None:
        """Make a folder in ``parent``; raises OSError."""
        parent.mkdir(parents=True, exist_ok=True)
        _allow_many_files()
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}_", dir=parent))
        # The system lets go of a lock when its process is killed, and knows it across containers, which have process
        # ids of their own.
        lock = (self.path / _LOCK).open("wb")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._remove = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._remove()


def _allow_many_files() -> None:
    """Let this process open as many files as the system allows it: by default it starts with about a thousand.

    Python keeps a file open for as long as it is mapped (before 3.13 always), and each fragment out of memory is one:
    an hour of mapping within a memory budget makes more than a thousand.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # some systems name a hard limit that they do not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _remove(path: Path, lock: IO[bytes], process_id: int) -> None:
    lock.close()
    if os.getpid() == process_id:  # not at the end of a forked copy
        shutil.rmtree(path, ignore_errors=True)


def remove_left_behind(parent: Path) -> None:
    """Remove folders of this user in ``parent`` whose process was killed before it could do so."""
    try:
        entries = list(os.scandir(parent))
    except OSError:
        return
    for entry in entries:
        named = _NAME.fullmatch(entry.name)
        with contextlib.suppress(OSError):
            if (
                named is not None
                and entry.is_dir(follow_symlinks=False)
                and entry.stat(follow_symlinks=False).st_uid == os.getuid()
                and not _is_alive(int(named[1]))
                and not _is_locked(Path(entry.path) / _LOCK)
            ):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
