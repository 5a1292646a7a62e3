import ctypes
import subprocess
import sys

import pytest

from lira_ros import unused_memory

HOLES = """
import re
from lira_ros.unused_memory import give_back

def resident_mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

kept, freed = [], []
for number in range(4000):  # below the size from which each has pages of its own
    (kept if number % 50 == 0 else freed).append(bytearray(50_000))
del freed
before = resident_mib()
assert give_back()
assert not give_back()
print(before - resident_mib())
"""


def test_what_is_free_between_what_is_used_goes_back():
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("the C library of this machine has no malloc_trim")
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 100  # of 187 MiB


def test_without_the_function_nothing_happens(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert unused_memory.give_back(0.0) is False
