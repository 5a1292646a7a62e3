"""Write a file so that its readers see either the old one or the complete new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def partial_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; it replaces ``path`` at the end, and is removed when writing it fails.

    The path ends as ``path`` does, for writers that go by the ending. Raises OSError when the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        yield partial
        # On the disk before it takes the name: after a power cut there is no empty file under it.
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        # The name itself is kept by the folder.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        partial.unlink(missing_ok=True)
