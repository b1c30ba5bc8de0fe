"""Which texts go through the model together."""


def pass_tokens(device: str) -> int:
    """Padded tokens in one forward pass on a device.

    On a processor as many as stay in its caches while a layer works on them: in passes of 4,096 tokens
    models of BERT-base's size read a quarter less on two cores than in passes of 512. Other devices want
    many at once.
    """
    import torch

    return 256 * torch.get_num_threads() if device == "cpu" else 16_384


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
