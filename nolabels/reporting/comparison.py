"""Answers of several models to the texts of dev or test, beside the gold answers of people."""

import numpy as np
import pyarrow as pa

from nolabels.core.labels import certainty, from_column, to_column
from nolabels.core.spelling import join
from nolabels.core.tables import write_table


def read_gold(gold, answers, ids, names):
    """Which texts have gold (N bool) and which classes (N x K bool).

    answers: {id: class names} of a person, which count before the source's.
    """
    found = dict(zip(gold["id"].to_pylist(), gold["labels"].to_pylist(), strict=True)) | answers
    known = np.array([identifier in found for identifier in ids], bool)
    labels = pa.array([found.get(identifier, []) for identifier in ids], pa.list_(pa.string()))
    return known, from_column(pa.chunked_array([labels]), names)


def write_mistakes(path, texts, gold, answers, probabilities, known, task):
    """The texts with gold on which teacher or student are wrong, the student's most confident first.

    texts: table of N; the others as in `write_plots`.
    """
    told = {who: spelled(given, task.labels) for who, given in {"gold": gold, **answers}.items()}
    right = [(answers[who] == gold).all(1) for who in ("teacher", "student")]
    wrong = np.flatnonzero(known & ~(right[0] & right[1]))
    confidence = certainty(probabilities["student"], task)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    columns = {
        "id": texts["id"].take(wrong),
        "text": texts["text"].take(wrong),
        **{
            who: pa.array([told[who][row] for row in wrong], pa.string())
            for who in ("gold", "teacher", "student")
        },
        "confidence": pa.array(confidence[wrong], pa.float32()),
    }
    write_table(path, pa.table(columns))


def how_sure(probabilities, task):
    """N x K -> the certainty of each answer; with several labels each of the K decisions is one."""
    return (
        np.maximum(probabilities, 1 - probabilities) if task.multi_label else certainty(probabilities, task)
    )


def were_right(gold, answers, task):
    """N x K bool, twice -> whether each answer is right, in the shape of `how_sure`."""
    return answers == gold if task.multi_label else (answers == gold).all(1)


def spelled(chosen, names):
    """N x K bool -> the classes of each text as one value."""
    return [join(labels) for labels in to_column(chosen, names).to_pylist()]
