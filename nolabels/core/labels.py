"""From probabilities to labels: one class per text, or each class judged by itself.

N x K bool arrays hold which of K classes each of N texts has. With one label per text a row has one
True; with several (task.multi_label) it has any number, and none of them is an answer too.
"""

import numpy as np
import pyarrow as pa


def decide(probabilities, task):
    """N x K probabilities -> N x K bool: the likeliest class, or every class from task.threshold on."""
    if task.multi_label:
        return probabilities >= task.threshold
    return one_hot(probabilities.argmax(1), probabilities.shape[1])


def one_hot(indices, classes):
    """N class indices -> N x K bool."""
    return np.arange(classes) == np.asarray(indices).reshape(-1, 1)


def certainty(probabilities, task):
    """How sure an answer is, N numbers in 0..1: the probability of the label.

    With several labels, that of the least certain of the K decisions, yes or no.
    """
    if task.multi_label:
        return np.maximum(probabilities, 1 - probabilities).min(1)
    return probabilities.max(1)


def margins(probabilities, task):
    """How far an answer is from another one: 0 (undecided) to 1 (certain), N numbers.

    One label: the likeliest class less the second; several: the least distance of a class from the
    threshold, as a part of the way to 0 or 1.
    """
    if task.multi_label:
        way = np.where(probabilities >= task.threshold, 1 - task.threshold, task.threshold)
        return (np.abs(probabilities - task.threshold) / way).min(1)
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def surest(answers, margin, among, coverage):
    """Of the texts `among` (N bool), the share `coverage` with the largest margin in each class.

    answers: N x K bool. Class by class and never by one threshold for all: a class that the teacher is
    less sure of would lose its texts (self-training of Gera et al. 2022). At least one text of each
    class stays. With several labels, a text stays that one of its classes keeps; texts with none of
    the classes count as a class of their own.
    """
    keep = np.zeros(len(answers), bool)
    for members in (*answers.T, ~answers.any(1)):
        rows = np.flatnonzero(among & members)
        count = max(1, round(coverage * len(rows)))
        keep[rows[np.argsort(-margin[rows], kind="stable")[:count]]] = True
    return keep


def to_column(chosen, names):
    """N x K bool -> a column of lists of class names, without a Python object per text."""
    offsets = np.concatenate([[0], np.cumsum(chosen.sum(1))]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(names, pa.string()).take(pa.array(chosen.nonzero()[1])))


def from_column(column, names):
    """A column of lists of class names -> N x K bool."""
    column = column.combine_chunks()
    counts = column.value_lengths().to_numpy(zero_copy_only=False)
    found = np.zeros((len(column), len(names)), bool)
    place = {name: number for number, name in enumerate(names)}
    values = column.flatten().dictionary_encode()
    classes = np.array([place[name] for name in values.dictionary.to_pylist()], int)
    found[np.repeat(np.arange(len(column)), counts), classes[values.indices.to_numpy()]] = True
    return found
