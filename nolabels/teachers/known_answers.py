"""What the answer store knows of the texts of a run, as arrays, and what it does not."""

import json

import numpy as np
import pyarrow as pa


class Known:
    """Answers read from the store: arrays over N texts, T templates, K classes.

    scores, against: N x T x K float32 (against: NaN where a teacher has none); tokens, cut: N x T;
    there: N x T x K bool, which answers are known; embeddings: N x D float16, or None where no answer has any.
    """

    def __init__(self, scores, against, tokens, cut, there, embeddings=None):
        self.scores, self.against, self.tokens, self.cut, self.there = scores, against, tokens, cut, there
        self.embeddings = embeddings

    @classmethod
    def empty(cls, texts, templates, classes):
        shape = (texts, templates, classes)
        return cls(
            np.zeros(shape, np.float32),
            np.full(shape, np.nan, np.float32),
            np.zeros(shape[:2], np.int32),
            np.zeros(shape[:2], bool),
            np.zeros(shape, bool),
        )

    def fill(self, rows, hits, part, templates, words):
        for target, source in templates:
            for name, array in (("tokens", self.tokens), ("cut", self.cut)):
                array[rows, target] = columns_of(part[name], len(hits))[hits, source]
        if "embedding" in part.column_names:
            made = columns_of(part["embedding"], len(hits))[hits]
            if self.embeddings is None:
                self.embeddings = np.zeros((len(self.there), made.shape[1]), np.float16)
            self.embeddings[rows] = made
        count = len(json.loads(part.schema.metadata[b"about"])["words"])
        for name, array in (("score", self.scores), ("against", self.against)):
            if name not in part.column_names:
                continue
            values = columns_of(part[name], len(hits))[hits]
            for target, source in templates:
                for class_target, class_source in words:
                    array[rows, target, class_target] = values[:, source * count + class_source]
                    self.there[rows, target, class_target] = True

    def take(self, rows):
        """The answers of some texts, which may stand several times. rows: M indices."""
        made = (self.scores, self.against, self.tokens, self.cut, self.there, self.embeddings)
        return Known(*(None if array is None else array[rows] for array in made))

    def missing(self):
        """What to ask: a list of (texts, templates, classes), index arrays; texts in their order.

        Texts that miss the same things come together, so the list has one entry but where the
        templates or classes have changed between runs.
        """
        found = []
        if not len(self.there):
            return found
        patterns = np.packbits(~self.there.reshape(len(self.there), -1), axis=1)
        for pattern in np.unique(patterns, axis=0):
            if pattern.any():
                texts = np.flatnonzero((patterns == pattern).all(1))
                gaps = ~self.there[texts[0]]
                found.append((texts, np.flatnonzero(gaps.any(1)), np.flatnonzero(gaps.any(0))))
        return found


def rows_of(array):
    """N x ... numbers -> a fixed-size list column of N rows."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), array[0].size)


def columns_of(column, count):
    """A fixed-size list column -> count x width numbers."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(count, -1)


def distinct(keys):
    """Where each of N keys stands first, and which of those each is: M indices in order, N numbers below M."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[inverse]


def parts(texts, lengths, size):
    """Cuts texts (indices) into parts of `size` texts of about one length, longest first.

    The cut depends on nothing but which texts are asked, so a run that was killed goes on with the
    same parts, and ends in the same bytes.
    """
    order = texts[np.lexsort((texts, -lengths[texts]))]
    return [order[start : start + size] for start in range(0, len(order), size)]
