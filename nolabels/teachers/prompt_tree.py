"""Prompts and class words as trees of tokens, so that equal beginnings are read once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tree:
    """The tokens of one text behind the shared head: T prompts and the words of K classes.

    ids, depths, parents: L ints, parents before children; a token attends to its ancestors and
    itself. reads: for each (template, class) the positions whose next-token distributions score its
    words, and those words' token ids.
    """

    ids: list[int]
    depths: list[int]
    parents: list[int]
    reads: list[list[tuple[list[int], tuple[int, ...]]]]


@dataclass(frozen=True)
class Branch:
    """One prompt and what stands behind it to read the words of some classes.

    ids: token ids; text: number of the prompt's text; start: the place whose next token is the words'
    first; classes, words: numbers of the classes and their words (token ids).
    """

    ids: list[int]
    text: int
    start: int
    classes: list[int]
    words: list[tuple[int, ...]]


def shared_length(left, right):
    """How many leading items two sequences have in common."""
    length = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        length += 1
    return length


def spread(prompts, words):
    """N prompts (token ids) and K class words (token ids) behind each of them -> list of Branch.

    Words that go on in the same way are read together; a word's last token is predicted, never read.
    """
    stems = {}
    for number in sorted(range(len(words)), key=lambda number: -len(words[number])):
        word = words[number]
        stem = next((path for path in stems if path[: len(word) - 1] == word[:-1]), word[:-1])
        stems.setdefault(stem, []).append(number)
    return [
        Branch([*ids, *stem], text, len(ids) - 1, classes, [words[number] for number in classes])
        for text, ids in enumerate(prompts)
        for stem, classes in stems.items()
    ]


def grow_tree(prompts, words):
    """T prompts (token ids behind the head) and their T x K class words (token ids) -> Tree."""
    ids, depths, parents, children, reads = [], [], [], {}, []

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
