"""The files of one folder, for names from outside: nothing outside of it is read or written, whatever lies in it.

Everything goes through a descriptor of the folder and never follows a symbolic link in it, so that what is checked and
what is opened are the same. A file is written beside its place, brought to the disk and renamed; a process that is
killed meanwhile leaves the old file and one that ends with its lock, which the next writer removes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# Safe in file systems, topics and messages; never ".", ".." nor hidden.
FILE_NAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,200}")
_PARTIAL = re.compile(r"\.partial\.\d+\.[A-Za-z0-9_.-]{1,200}")


class FolderError(OSError):
    """A file or the folder cannot be used; names it and says why."""


class GuardedFolder:
    """Reads and writes files by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def path_of(self, name: str) -> Path:
        """Return where a file lies, for messages."""
        return self.path / name

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """Open a plain file; raises FileNotFoundError, or FolderError for everything else."""
        with self._descriptor() as folder:
            try:
                # Without blocking: a pipe would wait for a writer.
                descriptor = os.open(
                    _checked(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
                )
            except FileNotFoundError:
                raise
            except OSError as error:
                raise self._error(name, error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FolderError(f"{self.path_of(name)}: not a plain file, but a folder or a device")
        with os.fdopen(descriptor, "rb") as file:
            yield file

    def write(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Let ``write`` fill a file that then takes the place of an older one; raises FolderError, and what it raises.

        The folder is made when it is missing. The older file stays as it was unless all of the new one is on the disk.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"{self.path}: cannot make the folder: {error.strerror}") from error
        partial = f".partial.{os.getpid()}.{_checked(name)}"
        with self._descriptor() as folder:
            _sweep(folder)
            try:
                self._write(folder, partial, name, write)
            except FolderError:
                raise
            except OSError as error:
                raise self._error(name, error) from error
            finally:
                with suppress(OSError):
                    os.unlink(partial, dir_fd=folder)

    def _write(self, folder: int, partial: str, name: str, write: Callable[[BinaryIO], object]) -> None:
        with suppress(FileNotFoundError):
            kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if not stat.S_ISREG(kind):
                what = "a symbolic link" if stat.S_ISLNK(kind) else "no plain file"
                raise FolderError(f"{self.path_of(name)}: {what} has this name and is not replaced")
        descriptor = os.open(
            partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder
        )
        with os.fdopen(descriptor, "wb") as file:
            # Held until the file has its name or the process is gone: who gets the lock knows that it is left behind.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            write(file)
            file.flush()
            os.fsync(descriptor)
            os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)  # the name itself is kept by the folder

    @contextmanager
    def _descriptor(self) -> Iterator[int]:
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise FolderError(f"{self.path}: cannot open the folder: {error.strerror}") from error
        try:
            yield folder
        finally:
            os.close(folder)

    def _error(self, name: str, error: OSError) -> FolderError:
        why = "a symbolic link, which is not followed" if error.errno == errno.ELOOP else error.strerror or str(error)
        return FolderError(f"{self.path_of(name)}: {why}")


def _checked(name: str) -> str:
    if FILE_NAME.fullmatch(name) is None:
        raise FolderError(f"name: expected 1 to 200 of A-Z, a-z, 0-9, _ . - without a leading dot, got {name[:150]!r}")
    return name


def _sweep(folder: int) -> None:
    """Remove what writers left behind that were killed; what somebody writes now is locked and stays."""
    for name in os.listdir(folder):
        if not _PARTIAL.fullmatch(name):
            continue
        with suppress(OSError):  # somebody else was faster, or may and we may not
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(descriptor)
