"""Memory of the process: garbage collections, and freed blocks that go back to the system."""

import ctypes
import gc

KEPT_BYTES = 16 * 1024 * 1024
GARBAGE_OBJECTS = 10_000
"""New objects before a garbage collection. Python's default of 700 took a sixth of the CPU time of a small request. A much larger
number would keep the bodies of failed requests in memory: exceptions of asyncio are cycles, of some 200 objects each."""


def tune_garbage_collector() -> None:
    """Exclude all existing objects from garbage collection, and collect less often.

    Not for tests that open gateways in their own process: those gateways would never be freed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks below KEPT_BYTES instead of returning them to the system one by one.

    Bodies pass in blocks of some 256 KiB. Fetching each anew from the system cost a fifth of an upload's time. glibc raises its
    two thresholds to the largest block that was freed.
    """
    bytearray(KEPT_BYTES)


def return_freed_memory() -> None:
    """Return freed blocks to the system, but for KEPT_BYTES. Nothing happens where the C library is not glibc.

    glibc itself returns only what is free at the end of its heap: after a crowd of large bodies one small block kept 140 MiB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(KEPT_BYTES))
