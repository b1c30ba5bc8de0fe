"""Answers of several models to the texts of dev or test, beside the gold answers of people."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from nolabels.core.labels import certainty, from_column, to_column
from nolabels.core.params import Task
from nolabels.core.spelling import join
from nolabels.core.tables import EACH, matrix

MODELS = ("teacher", "assistant", "student", "onnx", "baseline")  # in the order of the metrics files
PLOTTED = ("teacher", "student")  # the models that plots and mistakes compare


@dataclass(frozen=True)
class Comparison:
    """What is known of the N texts of dev or test, for K classes.

    Attributes
    ----------
    task : Task
    has_gold : ndarray of bool, shape (N,)
    gold : ndarray of bool, shape (N, K)
        The gold classes of each text; a row without gold is all False.
    answers : dict of str to ndarray of bool, shape (N, K)
        The predicted classes by model: MODELS, and `teacher_raw`, the teacher before calibration.
    probabilities : dict of str to ndarray of float32, shape (N, K)
        By model, in 0..1.
    single_teachers : dict of str to ndarray of bool, shape (N, K)
        The predicted classes of each teacher alone; empty where there is one teacher.
    """

    task: Task
    has_gold: np.ndarray
    gold: np.ndarray
    answers: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    single_teachers: dict[str, np.ndarray]


def compare_tables(tables: dict[str, pa.Table], ids: list[str], gold: dict, task: Task) -> Comparison:
    """Bring the tables of answers and the gold answers into one Comparison.

    Parameters
    ----------
    tables : dict of str to pyarrow.Table
        Answers by model, some of MODELS in that order, one row for each of `ids`.
    ids : list of str
        The ids of the N texts.
    gold : dict of str to sequence of str
        Class names by id, of the texts that have gold.
    task : Task

    Returns
    -------
    Comparison
    """
    names, teacher = task.labels, tables["teacher"]
    predicted = {model: from_column(table["labels"], names) for model, table in tables.items()}
    raw = from_column(teacher["raw_labels"], names)
    labels = pa.array([gold.get(identifier, []) for identifier in ids], pa.list_(pa.string()))
    return Comparison(
        task=task,
        has_gold=np.array([identifier in gold for identifier in ids], bool),
        gold=from_column(pa.chunked_array([labels]), names),
        answers={"teacher": predicted.pop("teacher"), "teacher_raw": raw, **predicted},
        probabilities={model: matrix(table["probabilities"]) for model, table in tables.items()},
        single_teachers={
            column.removeprefix(EACH): from_column(teacher[column], names)
            for column in teacher.column_names
            if column.startswith(EACH)
        },
    )


def decision_confidence(probabilities: np.ndarray, task: Task) -> np.ndarray:
    """Confidence of each decision: one per text, or with several labels per text one per text and class.

    Parameters
    ----------
    probabilities : ndarray of float, shape (N, K)
    task : Task

    Returns
    -------
    ndarray of float, shape (N,) or (N, K)
        The probability of what was decided, in 0..1.
    """
    if task.multi_label:
        return np.maximum(probabilities, 1 - probabilities)
    return certainty(probabilities, task)


def decision_correct(gold: np.ndarray, answers: np.ndarray, task: Task) -> np.ndarray:
    """Whether each decision is correct, in the shape of `decision_confidence`.

    Parameters
    ----------
    gold, answers : ndarray of bool, shape (N, K)
    task : Task

    Returns
    -------
    ndarray of bool, shape (N,) or (N, K)
    """
    return answers == gold if task.multi_label else (answers == gold).all(1)


def joined_labels(answers: np.ndarray, names: list[str]) -> list[str]:
    """The classes of each text as one value of a csv.

    Parameters
    ----------
    answers : ndarray of bool, shape (N, K)
    names : list of str
        Names of the K classes.

    Returns
    -------
    list of str, length N
    """
    return [join(labels) for labels in to_column(answers, names).to_pylist()]


def mistakes_table(comparison: Comparison, texts: pa.Table) -> pa.Table:
    """The texts with gold that teacher or student classify wrongly, the student's most confident first.

    Parameters
    ----------
    comparison : Comparison
    texts : pyarrow.Table
        `id` and `text` of the N texts.

    Returns
    -------
    pyarrow.Table
        Columns `id`, `text`, `gold`, `teacher`, `student` and `confidence` (the student's).
    """
    task, gold, answers = comparison.task, comparison.gold, comparison.answers
    correct = [(answers[model] == gold).all(1) for model in PLOTTED]
    wrong = np.flatnonzero(comparison.has_gold & ~(correct[0] & correct[1]))
    confidence = certainty(comparison.probabilities["student"], task)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    labels = {"gold": gold, **{model: answers[model] for model in PLOTTED}}
    columns = {
        "id": texts["id"].take(wrong),
        "text": texts["text"].take(wrong),
        **{
            name: pa.array(joined_labels(chosen[wrong], task.labels), pa.string())
            for name, chosen in labels.items()
        },
        "confidence": pa.array(confidence[wrong], pa.float32()),
    }
    return pa.table(columns)
