"""Freed memory goes back to the system."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from pathlib import Path
from app.memory import keep_freed_memory, return_freed_memory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

keep_freed_memory()
blocks = [bytearray(2**20) for _ in range(200)]
last = bytearray(2**20)  # It holds the end of the heap.
del blocks
before = resident_mib()
return_freed_memory()
print(before - resident_mib() if hasattr(ctypes.CDLL(None), "malloc_trim") else "no glibc")
"""


def test_what_a_crowd_of_bodies_took_is_returned() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    if done.stdout.strip() == "no glibc":
        pytest.skip("this C library has no malloc_trim")
    assert int(done.stdout) > 150
