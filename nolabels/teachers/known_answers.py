"""The answers of the store to the texts of one run, as arrays, and which are missing."""

import json

import numpy as np
import pyarrow as pa


class KnownAnswers:
    """Answers to N texts, T templates and K classes, as far as the store has them.

    Attributes
    ----------
    scores, against : numpy.ndarray, N x T x K, float32
        As in teacher.Answers; against is NaN where a teacher has none.
    tokens, cut : numpy.ndarray, N x T
        As in teacher.Answers.
    there : numpy.ndarray, N x T x K, bool
        Which answers are known.
    embeddings : numpy.ndarray, N x D, float16, or None
        None where no answer has any.
    """

    def __init__(
        self,
        scores: np.ndarray,
        against: np.ndarray,
        tokens: np.ndarray,
        cut: np.ndarray,
        there: np.ndarray,
        embeddings: np.ndarray | None = None,
    ):
        self.scores, self.against, self.tokens, self.cut, self.there = scores, against, tokens, cut, there
        self.embeddings = embeddings

    @classmethod
    def empty(cls, texts: int, templates: int, classes: int) -> "KnownAnswers":
        """Arrays of that size, in which no answer is known."""
        shape = (texts, templates, classes)
        return cls(
            np.zeros(shape, np.float32),
            np.full(shape, np.nan, np.float32),
            np.zeros(shape[:2], np.int32),
            np.zeros(shape[:2], bool),
            np.zeros(shape, bool),
        )

    def fill(
        self,
        rows: np.ndarray,
        hits: np.ndarray,
        part: pa.Table,
        templates: list[tuple[int, int]],
        words: list[tuple[int, int]],
    ) -> None:
        """Takes over the answers of one part of the store.

        Parameters
        ----------
        rows : numpy.ndarray, M ints
            The texts that the part answers, as rows of the arrays here.
        hits : numpy.ndarray, bool
            Which rows of the part these are.
        part : pyarrow.Table
            As AnswerStore.write makes it.
        templates, words : list of (int, int)
            Number here and number in the part, of each template and of each class that both have.
        """
        for target, source in templates:
            for name, array in (("tokens", self.tokens), ("cut", self.cut)):
                array[rows, target] = list_values(part[name], len(hits))[hits, source]
        if "embedding" in part.column_names:
            embeddings = list_values(part["embedding"], len(hits))[hits]
            if self.embeddings is None:
                self.embeddings = np.zeros((len(self.there), embeddings.shape[1]), np.float16)
            self.embeddings[rows] = embeddings
        count = len(json.loads(part.schema.metadata[b"about"])["words"])
        for name, array in (("score", self.scores), ("against", self.against)):
            if name not in part.column_names:
                continue
            values = list_values(part[name], len(hits))[hits]
            for target, source in templates:
                for class_target, class_source in words:
                    array[rows, target, class_target] = values[:, source * count + class_source]
                    self.there[rows, target, class_target] = True

    def take(self, rows: np.ndarray) -> "KnownAnswers":
        """The answers to some of the texts (M indices); a text may come several times."""
        embeddings = None if self.embeddings is None else self.embeddings[rows]
        answers = self.scores[rows], self.against[rows], self.tokens[rows], self.cut[rows]
        return KnownAnswers(*answers, self.there[rows], embeddings)

    def missing(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """What to ask: (texts, templates, classes), index arrays; texts in their order.

        Texts that miss the same things come together. So the list has one entry, and more only where
        templates or classes have changed between runs.
        """
        gaps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        if not len(self.there):
            return gaps
        patterns = np.packbits(~self.there.reshape(len(self.there), -1), axis=1)
        for pattern in np.unique(patterns, axis=0):
            if pattern.any():
                texts = np.flatnonzero((patterns == pattern).all(1))
                absent = ~self.there[texts[0]]
                gaps.append((texts, np.flatnonzero(absent.any(1)), np.flatnonzero(absent.any(0))))
        return gaps


def first_occurrences(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different ones of N keys: M indices of where each comes first, in order, and for each key its number below M."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def list_column(array: np.ndarray) -> pa.FixedSizeListArray:
    """N x ... numbers as a fixed-size list column of N rows."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), array[0].size)


def list_values(column: pa.ChunkedArray, count: int) -> np.ndarray:
    """A fixed-size list column of `count` rows as count x width numbers."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(count, -1)
