"""What a student's texts look like to it, without the texts: counts to hold new texts against (`profile.json`).

Four signals of each text: its labels, how sure the student is, its length in letters, and how usual its words are. Of
the first a profile holds how often each stands, of the others a histogram. How usual words are is measured by the word
pieces that the student reads, each in one of BUCKETS by a hash: the mean logarithm of the share of texts that have
a piece of the same bucket. A bucket holds many pieces, and one that fewer than FEWEST texts reach counts as empty, so
that words of rare texts cannot be read from it. Nor does any bar of a histogram hold fewer.
"""

import hashlib
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nolabels.core.labels import certainty
from nolabels.core.spelling import join
from nolabels.students.student import labels_of

if TYPE_CHECKING:  # it needs onnxruntime, which takes a second to import
    from nolabels.students.predict import Model

SIGNALS = ("labels", "confidence", "length", "vocabulary")
BUCKETS = 2048
FEWEST = 5  # texts that a number of a profile is about, at least
MOST_BARS = 20  # of a histogram
REST = None  # the key of all sets of labels that are too rare to be named


def profile_of(model: "Model", texts: list[str], probabilities: np.ndarray) -> dict:
    """The profile of texts that the student has not learned from; on others it is surer than on new ones.

    Parameters
    ----------
    model : Model
        The student, whose tokenizer is asked.
    texts : list of str
        N texts, each once.
    probabilities : numpy.ndarray
        N x K, its answers.

    Returns
    -------
    dict
        `texts`: N; `labels`: {labels joined: count}, `rest`: count of the rarer ones; `confidence`, `length` and
        `vocabulary`: `edges`, ascending, and `counts`, one more than there are edges; `buckets`: in how many texts.
    """
    buckets = buckets_of(model, texts)
    reached = np.zeros(BUCKETS, np.int64)
    for own in buckets:
        reached[own] += 1
    labels = Counter(label_sets(model, probabilities))
    frequent = {name: count for name, count in sorted(labels.items()) if count >= FEWEST}
    numbers = {
        "confidence": certainty(probabilities.astype(float).round(4), model),
        "length": np.array([len(text) for text in texts], float),
        # each text is held against the others, as a new one is
        "vocabulary": usualness(buckets, reached, len(texts), own=1),
    }
    return {
        "texts": len(texts),
        "labels": frequent,
        "rest": len(texts) - sum(frequent.values()),
        **{signal: histogram(values) for signal, values in numbers.items()},
        "buckets": np.where(reached < FEWEST, 0, reached).tolist(),
    }


def counts_of(
    profile: dict, model: "Model", texts: list[str], probabilities: np.ndarray
) -> dict[str, Counter]:
    """How texts fall into what a profile counts.

    Parameters
    ----------
    profile : dict
        As `profile_of` makes it.
    model : Model
    texts : list of str
        N texts.
    probabilities : numpy.ndarray
        N x K, the student's answers.

    Returns
    -------
    dict
        {signal: Counter}, of sets of labels by their name, REST for the rarer; of the others by the bar's number.
    """
    reached = np.array(profile["buckets"])
    numbers = {
        "confidence": certainty(probabilities.astype(float).round(4), model),
        "length": np.array([len(text) for text in texts], float),
        "vocabulary": usualness(buckets_of(model, texts), reached, profile["texts"], own=0),
    }
    names = label_sets(model, probabilities)
    counts = {"labels": Counter(name if name in profile["labels"] else REST for name in names)}
    for signal, values in numbers.items():
        counts[signal] = Counter(np.searchsorted(profile[signal]["edges"], values, side="right").tolist())
    return counts


def label_sets(model: "Model", probabilities: np.ndarray) -> list[str]:
    """The labels of each text as one name; probabilities: N x K."""
    classes = model.classes_.tolist()
    return [join(labels_of(row, classes, model.threshold)) for row in probabilities.tolist()]


@cache
def bucket(piece: int) -> int:
    """The bucket of a word piece, by its number in the tokenizer."""
    return int.from_bytes(hashlib.sha256(str(piece).encode()).digest()[:4], "big") % BUCKETS


def buckets_of(model: "Model", texts: list[str]) -> list[np.ndarray]:
    """The different buckets that each text's word pieces fall into; special tokens do not count."""
    rows = model.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return [np.array(sorted({bucket(piece) for piece in row.ids}), np.int64) for row in rows]


def usualness(buckets: list[np.ndarray], reached: np.ndarray, texts: int, own: int) -> np.ndarray:
    """How usual the words of N texts are: the mean logarithm of the share of texts that reach their buckets.

    reached: in how many of `texts` texts each bucket is; own: 1 where the N texts are among these, and each is to be
    left out for itself, else 0. A bucket that fewer than FEWEST of the others reach counts as one that none does.
    """
    values = np.zeros(len(buckets))
    for number, one in enumerate(buckets):
        others = reached[one] - own
        others = np.where(others < FEWEST, 0, others)
        values[number] = np.log((others + 0.5) / (texts - own + 1)).mean() if len(one) else 0.0
    return values.round(4)


def histogram(values: np.ndarray) -> dict:
    """Bars of about equal counts: `edges` between them, and the `counts` from each edge to below the next."""
    bars = max(1, min(MOST_BARS, len(values) // (2 * FEWEST)))
    edges = (
        np.unique(np.quantile(values, np.arange(1, bars) / bars, method="higher"))
        if bars > 1
        else np.zeros(0)
    )
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    while (
        len(edges) and counts.min() < FEWEST
    ):  # where many values are the same: the bar joins the one beside it
        edges = np.delete(edges, max(0, int(counts.argmin()) - 1))
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": counts.tolist()}
