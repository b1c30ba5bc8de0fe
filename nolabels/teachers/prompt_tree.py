"""Prompts and class words as trees of tokens, so that equal beginnings are read once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Ids = Sequence[int]  # token ids


@dataclass(frozen=True)
class Tree:
    """The tokens of one text behind the shared head: T prompts and the words of K classes.

    Attributes
    ----------
    ids, depths, parents : list of int
        L tokens, parents before children. A token attends to its ancestors and itself.
    reads : list of T lists of K (list of int, tuple of int)
        The positions whose next-token distributions score the words of a class, and those words' token ids.
    """

    ids: list[int]
    depths: list[int]
    parents: list[int]
    reads: list[list[tuple[list[int], tuple[int, ...]]]]

    @property
    def paths(self) -> list[tuple[list[int], tuple[int, ...]]]:
        """`reads` of all prompts, one after the other."""
        return [path for classes in self.reads for path in classes]

    @property
    def positions(self) -> list[int]:
        """The positions in `reads`, each once, ascending."""
        return sorted({position for path, _ in self.paths for position in path})


@dataclass(frozen=True)
class Branch:
    """One prompt and what stands behind it to read the words of some classes.

    Attributes
    ----------
    ids : list of int
        Token ids.
    text : int
        The number of the prompt's text.
    start : int
        The position whose next token is the words' first.
    classes : list of int
        Numbers of the classes.
    words : list of tuple of int
        Token ids of their words.
    """

    ids: list[int]
    text: int
    start: int
    classes: list[int]
    words: list[tuple[int, ...]]


def shared_length(left: Ids, right: Ids) -> int:
    """How many leading items two sequences have in common.

    Parameters
    ----------
    left, right : sequence of int
        The two sequences.
    """
    length = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        length += 1
    return length


def branches_of(prompts: list[list[int]], words: Sequence[tuple[int, ...]]) -> list[Branch]:
    """The sequences that the model reads one by one where it cannot read trees.

    Words that go on in the same way are read together. A word's last token is predicted, never read.

    Parameters
    ----------
    prompts : list of N lists of int
        Token ids.
    words : sequence of K tuples of int
        Token ids of the class words behind each prompt.
    """
    stems: dict[tuple[int, ...], list[int]] = {}
    for number in sorted(range(len(words)), key=lambda number: -len(words[number])):
        word = words[number]
        stem = next((path for path in stems if path[: len(word) - 1] == word[:-1]), word[:-1])
        stems.setdefault(stem, []).append(number)
    return [
        Branch([*ids, *stem], text, len(ids) - 1, classes, [words[number] for number in classes])
        for text, ids in enumerate(prompts)
        for stem, classes in stems.items()
    ]


def grow_tree(prompts: Sequence[Ids], words: Sequence[Sequence[tuple[int, ...]]]) -> Tree:
    """The tree of one text.

    Parameters
    ----------
    prompts : sequence of T sequences of int
        Token ids behind the head.
    words : sequence of T sequences of K tuples of int
        Token ids of the class words behind each prompt.
    """
    ids: list[int] = []
    depths: list[int] = []
    children: dict[tuple[int, int], int] = {}
    parents, reads = [], []

    def walk(node, tokens):
        path = [node]
        for token in tokens:
            following = children.get((node, token))
            if following is None:
                following = len(ids)
                children[node, token] = following
                ids.append(token)
                parents.append(node)
                depths.append(depths[node] + 1 if node >= 0 else 0)
            node = following
            path.append(node)
        return path

    for prompt, classes in zip(prompts, words, strict=True):
        end = walk(-1, prompt)[-1]
        # a word's last token is predicted, never read
        reads.append([(walk(end, word[:-1]), word) for word in classes])
    return Tree(ids, depths, parents, reads)


def batch_of_trees(trees: list[Tree], shared: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a model reads of some trees.

    Parameters
    ----------
    trees : list of Tree
        B trees, the longest of L tokens.
    shared : int
        Tokens of the head, which all of them follow.

    Returns
    -------
    ids, positions : numpy.ndarray, B x L, int64
        Padded with 0 and with the position behind the head.
    mask : numpy.ndarray, bool
        B x 1 x L x (shared + L), which tokens each token attends to; B x (shared + L), which are no padding, where no
        tree has branches.
    """
    size, width = len(trees), max(len(tree.ids) for tree in trees)
    ids = np.zeros((size, width), np.int64)
    positions = np.full((size, width), shared, np.int64)
    for row, tree in enumerate(trees):
        ids[row, : len(tree.ids)] = tree.ids
        positions[row, : len(tree.ids)] = np.asarray(tree.depths) + shared
    if not any(len(set(tree.parents)) < len(tree.parents) for tree in trees):
        mask = np.zeros((size, shared + width), bool)
        for row, tree in enumerate(trees):
            mask[row, : shared + len(tree.ids)] = True
        return ids, positions, mask
    mask = np.zeros((size, 1, width, shared + width), bool)
    mask[..., :shared] = True
    for row, tree in enumerate(trees):
        visible = mask[row, 0, :, shared:]
        for node, parent in enumerate(tree.parents):
            if parent >= 0:
                visible[node] = visible[parent]
            visible[node, node] = True
    return ids, positions, mask
