"""Memory that a process of long work keeps."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)
KERNELS = 12  # for each core: twice as many as one pass through the layers needs


def keep_freed_memory() -> None:
    """Has glibc keep freed memory for the next tensor instead of giving it back to the system.

    A step of training frees and takes again about a gigabyte in large tensors; mapped anew, each page is cleared at its
    first touch. Other C libraries have no mallopt, or ignore it.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def keep_few_kernels(threads: int) -> None:
    """Has oneDNN, and torch's layer above it, keep at most KERNELS compiled kernels for each core; they keep 1,024 by
    default.

    A kernel is compiled for each shape of a batch. Where texts are read from the longest to the
    shortest, a shape does not come back, so the kernels of earlier batches are of no more use. Call it before the first
    product. A value that the environment sets already stays. threads: as of models.use_threads.
    """
    kernels = KERNELS * (threads or os.cpu_count() or 1)
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(kernels))


def give_back_tables() -> None:
    """Has Arrow give the memory of tables that are gone back to the system; its pool would keep it."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
