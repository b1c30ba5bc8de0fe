"""Two texts as one input of a model."""

import itertools

import numpy as np
from transformers import PreTrainedTokenizerBase

Pair = tuple[list[int], list[int]]  # token ids and token types


class PairFrame:
    """How a tokenizer joins two texts: their ids with special tokens before, between and behind.

    Learned from the tokenizer's own pairs, so that a text is encoded once for all its hypotheses.

    Parameters
    ----------
    before, between, behind : list of int
        Ids of the special tokens.
    types : list of int
        Token types of: before, premise, between, hypothesis, behind.
    """

    def __init__(self, before: list[int], between: list[int], behind: list[int], types: list[int]):
        self.before, self.between, self.behind, self.types = before, between, behind, types
        self.special = len(before) + len(between) + len(behind)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "PairFrame | None":
        """The frame of a tokenizer; None where its pairs are not two texts in a frame of special tokens."""
        probes = ("One town.", "Two long old rivers"), ("Is it? Yes", "A!")
        frame, types_of_frame = None, []
        for left, right in probes:
            pair = tokenizer(left, right, return_token_type_ids=True, verbose=False)
            ids, types = pair["input_ids"], pair["token_type_ids"]
            first, second = (
                tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
                for text in (left, right)
            )
            frames = [
                (ids[:start], ids[start + len(first) : middle], ids[middle + len(second) :])
                for start in range(len(ids) - len(first) + 1)
                for middle in range(start + len(first), len(ids) - len(second) + 1)
                if ids[start : start + len(first)] == first and ids[middle : middle + len(second)] == second
            ]
            if not frames or (frame and frames[0] != frame):
                return None
            before, between, behind = frame = frames[0]
            edges = np.cumsum([0, len(before), len(first), len(between), len(second), len(behind)])
            types_of_frame = [types[start] if start < end else 0 for start, end in itertools.pairwise(edges)]
        return cls(before, between, behind, types_of_frame)

    def pair(self, premise: list[int], hypothesis: list[int]) -> Pair:
        """Token ids and token types of a premise and a hypothesis (token ids)."""
        parts = self.before, premise, self.between, hypothesis, self.behind
        ids = [token for part in parts for token in part]
        types = [kind for part, kind in zip(parts, self.types, strict=True) for _ in part]
        return ids, types
