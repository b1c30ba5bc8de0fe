"""Teachers: whatever their kind, they turn texts into arrays of scores.

A kind is one module with one class that has `kind`, `parameters` (or None) and
`ask(texts, templates, words) -> Answers`; `load` below names it.
"""

from dataclasses import dataclass

import numpy as np

# raised when a kind's scores change for the same question: its old answers are then not taken for new
REVISION = {"likelihood": 1}


@dataclass(frozen=True)
class Answers:
    """Answers to N texts, T templates and K classes.

    scores: N x T x K float32, log-likelihoods or logits, higher is likelier; against: the same
    shape or None, what each class competes with when it is judged by itself; tokens: N x T int32,
    tokens of the text that were read; cut: N x T bool, whether the text was longer.
    """

    scores: np.ndarray
    against: np.ndarray | None
    tokens: np.ndarray
    cut: np.ndarray


def load(score, folder, *, device, precision):
    """The teacher that `score` (params.Score) describes, from the model in `folder`.

    Raises UserError where the model is not of the stated kind.
    """
    from nolabels.teachers.likelihood import Likelihood

    return Likelihood(folder, device=device, precision=precision, max_tokens=score.max_tokens)


def cut_texts(tokenizer, texts, max_tokens):
    """Texts cut behind their `max_tokens`-th token, how many tokens are left, and which were cut."""
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    counts = [len(ids) for ids in encoded["input_ids"]]
    kept = [
        text if count <= max_tokens else text[: offsets[max_tokens - 1][1]]
        for text, count, offsets in zip(texts, counts, encoded["offset_mapping"], strict=True)
    ]
    return kept, [min(count, max_tokens) for count in counts], [count > max_tokens for count in counts]


def token_batches(lengths, budget):
    """Batches of indices, longest first, each padded to at most `budget` tokens (or one text)."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches, batch = [], []
    for index in order:
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches
