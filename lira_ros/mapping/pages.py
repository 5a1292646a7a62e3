"""Ask the system for memory ahead of need, in another thread, and give it back.

Large arrays are address space only: the system hands out a page when it is first written, and clears it then. On a
virtual machine that takes up to some milliseconds for a huge page of 2 MiB, which a frame should not wait for.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import DTypeLike, NDArray

# The pages are not needed; when they are touched again they are zero.
_MADV_DONTNEED = 4
# Linux 5.14: populate page tables for writing, as if every page was written to, without changing what is in them.
_MADV_POPULATE_WRITE = 23
# As much as one huge page at a time, so that others who need the system's memory get their turn.
_BYTES_AT_ONCE = 1 << 21


class Memory(mmap.mmap):
    """Memory of one array, straight from the system."""


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """Return an array of zeros whose memory goes back to the system with the array.

    The allocator of the C library keeps the memory of arrays of some MB for the next ones, and what is freed by one
    thread for that thread; in a process that makes and drops many of them that added up to a quarter more.
    """
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    if nbytes == 0:
        return np.zeros(shape, dtype)
    # Private: pages shared with children would be files of the system.
    return np.frombuffer(Memory(-1, nbytes, access=mmap.ACCESS_COPY), dtype).reshape(shape)


@functools.cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="pages")


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    try:
        madvise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return None
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return madvise


def _populate(arrays: Sequence[NDArray]) -> None:
    # Holding the arrays keeps their memory until this is done. A system that knows no such advice, or has no memory
    # left, refuses: pages then come when they are written, as ever.
    madvise = _madvise()
    if madvise is None:
        return
    for array in arrays:
        address = array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
        end = array.ctypes.data + array.nbytes
        while address < end:
            length = min(_BYTES_AT_ONCE, end - address)
            if madvise(address, length, _MADV_POPULATE_WRITE) != 0:
                return
            address += length


def prepare(arrays: Sequence[NDArray]) -> Future[None] | None:
    """Have the pages of contiguous arrays ready soon; what is in them stays as it is.

    Safe while others read and write the arrays. Returns what can be waited for; None with nothing to do.
    """
    arrays = [array for array in arrays if array.nbytes > 0]
    if not arrays or os.name != "posix":
        return None
    return _thread().submit(_populate, arrays)


def give_back(array: NDArray) -> bool:
    """Give the pages of a contiguous array of zeros back to the system; return whether that was possible.

    They come again, zero, when they are written.
    """
    madvise = _madvise()
    start = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if madvise is None or not sys.platform.startswith("linux"):  # elsewhere the advice may not clear the pages
        return False
    return end <= start or madvise(start, end - start, _MADV_DONTNEED) == 0


def trim() -> None:
    """Give what the allocator of the C library keeps for later back to the system, where it can (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
