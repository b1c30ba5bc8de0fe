"""Memory that a process of long work keeps."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


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
