"""From probabilities to labels: one class per text, or each class judged by itself.

N x K bool arrays hold which of K classes each of N texts has. With one label per text a row has one
True. With several (task.multi_label) it has any number; a row without True is an answer too: none of the classes.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from nolabels.core.params import Task

LISTED_CLASSES = 10  # most classes that a metrics file lists one by one: people read it


def decide(probabilities: np.ndarray, task: Task) -> np.ndarray:
    """The labels that probabilities stand for.

    Parameters
    ----------
    probabilities : np.ndarray
        N x K numbers in 0..1.
    task : Task
        With multi_label a text has every class whose probability is at least task.threshold, else the likeliest one.

    Returns
    -------
    np.ndarray
        N x K bool.
    """
    if task.multi_label:
        return probabilities >= task.threshold
    return one_hot(probabilities.argmax(1), probabilities.shape[1])


def one_hot(indices: np.ndarray, classes: int) -> np.ndarray:
    """Class indices as one True a row.

    Parameters
    ----------
    indices : np.ndarray
        N class indices, 0 to classes - 1. Another number makes a row without True.
    classes : int
        Number of classes K.

    Returns
    -------
    np.ndarray
        N x K bool.
    """
    return np.arange(classes) == np.asarray(indices).reshape(-1, 1)


class Decides(Protocol):
    """What answers with one label or with several: a Task, and the Model that is shipped."""

    @property
    def multi_label(self) -> bool:
        """Whether each class is a decision of its own."""


def certainty(probabilities: np.ndarray, task: Decides) -> np.ndarray:
    """The confidence of each answer: the probability of its label.

    Parameters
    ----------
    probabilities : np.ndarray
        N x K numbers in 0..1.
    task : Decides
        With multi_label the confidence is that of the least certain of the K decisions, yes or no.

    Returns
    -------
    np.ndarray
        N numbers in 0..1.
    """
    if task.multi_label:
        return np.maximum(probabilities, 1 - probabilities).min(1)
    return probabilities.max(1)


def margins(probabilities: np.ndarray, task: Task) -> np.ndarray:
    """How far each answer is from another one.

    Parameters
    ----------
    probabilities : np.ndarray
        N x K numbers in 0..1.
    task : Task
        One label: the margin is the probability of the likeliest class less that of the second. With multi_label it
        is the least distance of a class from task.threshold, as a part of the way to 0 or 1.

    Returns
    -------
    np.ndarray
        N numbers, 0 (undecided) to 1 (certain).
    """
    if task.multi_label:
        way = np.where(probabilities >= task.threshold, 1 - task.threshold, task.threshold)
        return (np.abs(probabilities - task.threshold) / way).min(1)
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def most_confident(
    answers: np.ndarray, margin: np.ndarray, candidates: np.ndarray, keep_fraction: float
) -> np.ndarray:
    """The texts with the largest margins in each class.

    Class by class and not by one threshold for all: a class that the teacher is less sure of would lose its
    texts (self-training of Gera et al. 2022, "Zero-Shot Text Classification with Self-Training"). At least one
    text of each class stays. With several labels, a text stays if one of its classes keeps it; texts with none of
    the classes count as a class of their own.

    Parameters
    ----------
    answers : np.ndarray
        N x K bool, the label of each text.
    margin : np.ndarray
        N numbers, see margins.
    candidates : np.ndarray
        N bool, the texts to choose from.
    keep_fraction : float
        Share of each class to keep, in (0, 1].

    Returns
    -------
    np.ndarray
        N bool.
    """
    keep = np.zeros(len(answers), bool)
    for members in (*answers.T, ~answers.any(1)):
        rows = np.flatnonzero(candidates & members)
        count = max(1, round(keep_fraction * len(rows)))
        keep[rows[np.argsort(-margin[rows], kind="stable")[:count]]] = True
    return keep


def to_column(labels: np.ndarray, names: Sequence[str]) -> pa.ListArray:
    """Labels as a column of lists of class names, without a Python object per text.

    Parameters
    ----------
    labels : np.ndarray
        N x K bool.
    names : sequence of str
        Names of the K classes.

    Returns
    -------
    pa.ListArray
        N lists of class names, in the order of `names`.
    """
    offsets = np.concatenate([[0], np.cumsum(labels.sum(1))]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(names, pa.string()).take(pa.array(labels.nonzero()[1])))


def from_column(column: pa.ChunkedArray, names: Sequence[str]) -> np.ndarray:
    """A column of lists of class names as labels; the inverse of to_column.

    Parameters
    ----------
    column : pa.ChunkedArray
        N lists of class names.
    names : sequence of str
        Names of the K classes.

    Returns
    -------
    np.ndarray
        N x K bool.

    Raises
    ------
    KeyError
        Where the column holds another name.
    """
    column = column.combine_chunks()
    counts = column.value_lengths().to_numpy(zero_copy_only=False)
    labels = np.zeros((len(column), len(names)), bool)
    index = {name: number for number, name in enumerate(names)}
    values = column.flatten().dictionary_encode()
    classes = np.array([index[name] for name in values.dictionary.to_pylist()], int)
    labels[np.repeat(np.arange(len(column)), counts), classes[values.indices.to_numpy()]] = True
    return labels


def class_shares(answers: np.ndarray, names: list[str]) -> dict[str, float]:
    """The share of the texts that has each class.

    Parameters
    ----------
    answers : ndarray of bool, shape (N, K)
    names : list of str
        The K class names.

    Returns
    -------
    dict of str to float
        In 0..1; 0 where there are no texts.
    """
    means = answers.mean(0) if len(answers) else np.zeros(len(names))
    return {name: float(mean) for name, mean in zip(names, means, strict=True)}


def per_class(names: list[str], figures: dict[str, Iterable[float]]) -> dict[str, dict[str, float]]:
    """Figures class by class, for a metrics file.

    Parameters
    ----------
    names : list of str
        The K class names.
    figures : dict of str to iterable of float
        By title, K numbers each.

    Returns
    -------
    dict of str to dict
        {title: {class: number}}; empty for more than LISTED_CLASSES classes.
    """
    if len(names) > LISTED_CLASSES:
        return {}
    return {
        title: {name: float(value) for name, value in zip(names, values, strict=True)}
        for title, values in figures.items()
    }
