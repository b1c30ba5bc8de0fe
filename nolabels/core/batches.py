"""Which texts go through a model together, and which core reads them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CORE_TOKENS = 512  # padded tokens that a core reads at a time: what a layer makes of them stays in its cache
DEVICE_TOKENS = 16_384  # the same of another device


def pass_tokens(device: str) -> int:
    """Padded tokens in one forward pass on a torch device."""
    return CORE_TOKENS if device == "cpu" else DEVICE_TOKENS


def token_batches(lengths: list[int], budget: int) -> list[list[int]]:
    """Batches of sequences, from the longest to the shortest.

    Parameters
    ----------
    lengths : list of int
        Tokens of each sequence.
    budget : int
        Tokens of a batch at most, each sequence padded to the longest; a sequence that is longer goes alone.

    Returns
    -------
    list of list of int
        The indices of each batch.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches


def on_each_core(work: Callable[[Item], Result], items: Sequence[Item], device: str) -> list[Result]:
    """work(item) of each item, in order.

    On a processor each of torch's threads takes an item of its own, which is faster than all of them on one item,
    where they wait for each other after every operation. Where there are fewer items than threads, each item
    has several. On other devices the items follow each other.

    Parameters
    ----------
    work : callable
        Called in several threads at once; what torch keeps for a thread, such as inference_mode, it must set itself.
    items : sequence
        What it is called with.
    device : str
        A torch device name.
    """
    import torch

    threads = torch.get_num_threads()
    workers = min(threads, len(items)) if device == "cpu" else 1
    if workers <= 1:
        return [work(item) for item in items]
    torch.set_num_threads(threads // workers)  # new threads begin with it
    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)
