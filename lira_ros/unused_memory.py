"""Give memory that is free, but kept by the allocator, back to the system.

glibc keeps what threads have freed in pools of their own and returns little of it as long as anything near its end is
in use. A node with a dozen threads that handles images for hours so comes to hold far more than it uses.
"""

from __future__ import annotations

import ctypes
import threading
import time

# Giving back takes some milliseconds, and what is needed again has to be asked for again.
PERIOD_S = 30.0

_lock = threading.Lock()
_last_s = float("-inf")


def give_back(period_s: float = PERIOD_S) -> bool:
    """Give free memory back, at most once in ``period_s`` for the whole process; tells whether it was done.

    Does nothing where the C library has no malloc_trim (only glibc has it).
    """
    global _last_s
    with _lock:
        now_s = time.monotonic()
        if now_s - _last_s < period_s:
            return False
        _last_s = now_s
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return False
    trim(ctypes.c_size_t(0))
    return True
