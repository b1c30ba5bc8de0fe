"""What all kinds of teacher share: how long texts are read, and what an answer is."""

import re
from dataclasses import dataclass

import numpy as np

from nolabels.core.stage import UserError


@dataclass(frozen=True)
class Answers:
    """Answers to N texts, T templates and K classes.

    scores: N x T x K float32, log-likelihoods, logits or scaled cosines, higher is likelier; against:
    the same shape or None, what each class competes with when it is judged by itself; tokens: N x T
    int32, tokens of the text that were read; cut: N x T bool, whether the text was longer than one
    reading (it was then cut, or read in parts); embeddings: N x D float16 of a sentence encoder, or None.
    """

    scores: np.ndarray
    against: np.ndarray | None
    tokens: np.ndarray
    cut: np.ndarray
    embeddings: np.ndarray | None = None


@dataclass(frozen=True)
class Reading:
    """How much of a text a teacher reads.

    max_tokens: tokens of a text in one reading; stride: None, a longer text is cut at its end; else
    it is read in parts of max_tokens, each beginning `stride` tokens before the end of the last.
    """

    max_tokens: int
    stride: int | None


class Teacher:
    """What all kinds share: how long texts are read. A kind gives `score` and `spans`, and has:

    kind: its name; parameters: how many numbers the model holds, or None where that is not known;
    reading: Reading.
    """

    def ask(self, texts, templates, words):
        """N texts, T templates, K class words -> Answers (N x T x K).

        Texts of about the same length should come together: a batch is padded to its longest. The
        scores of a text that is read in parts are the mean of its parts' scores. Raises UserError
        where a template, a class or a part does not fit the model.
        """
        texts = [self.clean(text) for text in texts]
        limit, stride = self.reading.max_tokens, self.reading.stride
        spans = self.spans(texts)
        counts = np.array([len(span) for span in spans], np.int32)
        if stride is None:
            pieces = [beginning(text, span, limit) for text, span in zip(texts, spans, strict=True)]
            first, read = np.arange(len(texts)), np.minimum(counts, limit)
        else:
            split = [
                [text[span[start][0] : span[end - 1][1]] for start, end in windows(len(span), limit, stride)]
                if len(span) > limit
                else [text]
                for text, span in zip(texts, spans, strict=True)
            ]
            pieces = [piece for parts in split for piece in parts]
            first, read = np.cumsum([0, *map(len, split)])[:-1], counts
        scores, against, cut, *embedded = self.score(pieces, templates, words)
        if stride is not None:
            if cut is not None and cut.any():
                raise UserError(
                    f"params.yaml: score.max_tokens: must be less with long_text: chunk, found {limit}: "
                    "the model does not hold a part of that size beside the question"
                )
            sizes = np.diff(np.append(first, len(pieces)))[:, None, None].astype(np.float32)
            scores = np.add.reduceat(scores, first) / sizes
            against = None if against is None else np.add.reduceat(against, first) / sizes
            embedded = [np.add.reduceat(part, first) / sizes[:, 0] for part in embedded]
        long = np.repeat((counts > limit)[:, None], len(templates), 1)
        return Answers(
            scores.astype(np.float32, copy=False),
            None if against is None else against.astype(np.float32, copy=False),
            np.repeat(read.astype(np.int32)[:, None], len(templates), 1),
            long if cut is None or stride is not None else long | cut,
            embedded[0].astype(np.float16) if embedded else None,
        )

    def clean(self, text):
        """The text as this kind reads it."""
        return text

    def spans(self, texts):
        """For each text, where each of its tokens begins and ends (characters).

        A tokenizer without such places (one written in Python) is asked word by word instead.
        """
        if not self.tokenizer.is_fast:
            return [self.word_spans(text) for text in texts]
        return self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
            "offset_mapping"
        ]

    def word_spans(self, text):
        """The same with every token of a word (and the space before it) as long as the word."""
        spans = []
        for word in re.finditer(r"\s*\S+", text):
            tokens = self.tokenizer(word[0], add_special_tokens=False, verbose=False)["input_ids"]
            spans += [word.span()] * len(tokens)
        return spans

    def score(self, texts, templates, words):
        """N texts that fit, T templates, K class words -> scores and against as in Answers, and cut.

        cut: N x T bool, whether a text had to be cut further to fit the model; None: none was. A sentence encoder
        returns N x D embeddings too.
        """
        raise NotImplementedError


def beginning(text, span, limit):
    """A text up to its `limit`-th token; span: where each token begins and ends."""
    return text if len(span) <= limit else text[: span[limit - 1][1]]


def windows(count, size, stride):
    """Parts (start, end) that cover `count` tokens, each `size` long but the last, overlapping."""
    step = size - stride
    return [(start, min(start + size, count)) for start in range(0, max(count - stride, 1), step)]


def wrong_kind(kind, needs, found, folder):
    """The one line for a model of another kind."""
    what = ", ".join(found) if found else "nothing that says what it is"
    return UserError(f"params.yaml: score.kind: {kind} needs {needs}, found {what} in {folder}")
