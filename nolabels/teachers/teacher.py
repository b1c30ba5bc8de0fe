"""What all kinds of teacher share: how long texts are read, and the form of their answers."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nolabels.core.params import Template
from nolabels.core.stage import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int]  # where a token begins and ends in its text, in characters


@dataclass(frozen=True)
class Answers:
    """Answers to N texts, T templates and K classes.

    Attributes
    ----------
    scores : numpy.ndarray, N x T x K, float32
        Log-likelihoods, logits or scaled cosines; higher is likelier.
    against : numpy.ndarray, N x T x K, float32, or None
        What each class competes with when it is judged by itself.
    tokens : numpy.ndarray, N x T, int32
        How many tokens of the text were read.
    cut : numpy.ndarray, N x T, bool
        Whether the text was longer than one reading. It was then cut, or read in chunks.
    embeddings : numpy.ndarray, N x D, float16, or None
        Of a sentence encoder.
    """

    scores: np.ndarray
    against: np.ndarray | None
    tokens: np.ndarray
    cut: np.ndarray
    embeddings: np.ndarray | None = None


@dataclass(frozen=True)
class Reading:
    """How much of a text a teacher reads.

    Attributes
    ----------
    max_tokens : int
        Tokens of a text in one reading.
    stride : int or None
        None: a longer text is cut at its end. Else it is read in chunks of max_tokens, and two neighbours have
        `stride` tokens in common.
    """

    max_tokens: int
    stride: int | None


class Teacher:
    """The base class of all kinds. A kind gives `score`, and `spans` where it has no tokenizer of its own.

    Attributes
    ----------
    kind : str
        The name of the kind in params.yaml.
    name : str
        The teacher's key under `score` in params.yaml, for messages.
    reading : Reading
        How much of a text is read.
    parameters : int or None
        How many numbers the model holds; None where nobody knows.
    tokenizer : transformers.PreTrainedTokenizerBase
        What cuts texts into tokens.
    """

    kind: str
    name: str
    tokenizer: "PreTrainedTokenizerBase"
    reading: Reading
    parameters: int | None

    def ask(self, texts: list[str], templates: list[Template], words: list[str]) -> Answers:
        """The scores of every class, for every text and template.

        Parameters
        ----------
        texts : list of str
            N texts. Texts of about the same length should come together: a batch is padded to its longest.
        templates : list of Template
            T templates of this kind.
        words : list of str
            The words of K classes.

        Returns
        -------
        Answers
            N x T x K. The scores of a text that is read in chunks are the mean of its chunks' scores.

        Raises
        ------
        UserError
            Where a template, a class or a chunk does not fit the model.
        """
        texts = [self.clean(text) for text in texts]
        limit, in_chunks = self.reading.max_tokens, self.reading.stride is not None
        spans = self.spans(texts)
        counts = np.array([len(text_spans) for text_spans in spans], np.int32)
        chunks = [self._chunks(text, text_spans) for text, text_spans in zip(texts, spans, strict=True)]
        pieces = [piece for text_chunks in chunks for piece in text_chunks]
        scores, against, cut, *embedded = self.score(pieces, templates, words)
        if in_chunks:
            if cut is not None and cut.any():
                raise self.error(
                    "max_tokens",
                    f"must be less with long_text: chunk, found {limit}: the model does not hold a chunk of that "
                    "size beside the question",
                )
            first = np.cumsum([0, *map(len, chunks)])[:-1]
            sizes = np.diff(np.append(first, len(pieces)))[:, None, None].astype(np.float32)
            scores = np.add.reduceat(scores, first) / sizes
            against = None if against is None else np.add.reduceat(against, first) / sizes
            embedded = [np.add.reduceat(part, first) / sizes[:, 0] for part in embedded]
        tokens = counts if in_chunks else np.minimum(counts, limit)
        long = np.repeat((counts > limit)[:, None], len(templates), 1)
        return Answers(
            scores.astype(np.float32, copy=False),
            None if against is None else against.astype(np.float32, copy=False),
            np.repeat(tokens.astype(np.int32)[:, None], len(templates), 1),
            long if cut is None or in_chunks else long | cut,
            embedded[0].astype(np.float16) if embedded else None,
        )

    def _chunks(self, text: str, spans: list[Span]) -> list[str]:
        """What is read of a text: its chunks, or its beginning alone."""
        limit, stride = self.reading.max_tokens, self.reading.stride
        if len(spans) <= limit:
            return [text]
        if stride is None:
            return [text[: spans[limit - 1][1]]]
        return [
            text[spans[start][0] : spans[end - 1][1]] for start, end in windows(len(spans), limit, stride)
        ]

    def clean(self, text: str) -> str:
        """The text as this kind reads it."""
        return text

    def spans(self, texts: list[str]) -> list[list[Span]]:
        """Where each token of each text begins and ends.

        A tokenizer written in Python does not know that. It is asked word by word instead.
        """
        if not self.tokenizer.is_fast:
            return [self._word_spans(text) for text in texts]
        return self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
            "offset_mapping"
        ]

    def _word_spans(self, text: str) -> list[Span]:
        """The same, with every token of a word (and the space before it) as long as the word."""
        spans = []
        for word in re.finditer(r"\s*\S+", text):
            tokens = self.tokenizer(word[0], add_special_tokens=False, verbose=False)["input_ids"]
            spans += [word.span()] * len(tokens)
        return spans

    def score(self, texts: list[str], templates: list[Template], words: list[str]) -> tuple:
        """Scores of N texts that fit, T templates and K class words; each kind has its own.

        Returns
        -------
        tuple
            scores and against as in Answers; then cut, N x T bool, whether a text had to be cut further to fit the
            model (None: no text had to); of a sentence encoder then N x D embeddings.
        """
        raise NotImplementedError

    def error(self, setting: str, rule: str) -> UserError:
        """The one line about a setting of this teacher, for the caller to raise."""
        return UserError(f"params.yaml: score.{self.name}.{setting}: {rule}")

    def wrong_kind(self, needs: str, architectures: list[str], folder: str | Path) -> UserError:
        """The one line for a model of another kind, for the caller to raise."""
        what = ", ".join(architectures) if architectures else "nothing that says what it is"
        return self.error("kind", f"{self.kind} needs {needs}, found {what} in {folder}")


def windows(count: int, size: int, stride: int) -> list[tuple[int, int]]:
    """Chunks (start, end) that cover `count` tokens; all but the last are `size` long, neighbours share `stride`."""
    step = size - stride
    return [(start, min(start + size, count)) for start in range(0, max(count - stride, 1), step)]
