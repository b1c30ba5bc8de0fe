"""The figures of metrics/dev.json and metrics/test.json: with gold, and what can be measured without it."""

from typing import Any

import numpy as np

from nolabels.core.labels import certainty, class_shares, per_class
from nolabels.core.params import Task
from nolabels.reporting.comparison import Comparison, decision_confidence, decision_correct
from nolabels.reporting.statistics import (
    calibration_error,
    classification_scores,
    mcnemar_p_value,
)

CONFIDENT = 0.9  # an answer of this confidence or more counts as covered


def comparison_metrics(comparison: Comparison, models: dict[str, dict]) -> dict:
    """All figures of a metrics file.

    Parameters
    ----------
    comparison : Comparison
    models : dict of str to dict
        By model, what its table says of it: `parameters` (a count) and `megabytes`, where they are known.

    Returns
    -------
    dict
        Each model's `classification_scores` with `ece` and `ece_floor`, `difference`, `majority` and `teachers` only
        where a text has gold; `agreement` and `unseen` only where there are texts; `n` (texts with gold), `texts`
        and `size` always.
    """
    metrics: dict[str, Any] = {}
    if comparison.has_gold.any():
        metrics |= _metrics_with_gold(comparison)
    metrics["n"] = int(comparison.has_gold.sum())
    metrics["texts"] = len(comparison.has_gold)
    if metrics["texts"]:
        metrics |= _metrics_without_gold(comparison)
    metrics["size"] = {
        name: {key: model[key] for key in ("parameters", "megabytes") if model.get(key) is not None}
        for name, model in models.items()
    }
    return metrics


def classes_without_gold(comparison: Comparison) -> list[str]:
    """The classes that no gold answer has; none where there is no gold at all."""
    if not comparison.has_gold.any():
        return []
    present = comparison.gold[comparison.has_gold].any(0)
    return [name for name, held in zip(comparison.task.labels, present, strict=True) if not held]


def _metrics_with_gold(comparison: Comparison) -> dict:
    """The figures of the texts that have gold; there is at least one."""
    task, known = comparison.task, comparison.has_gold
    gold = comparison.gold[known]
    answers = {model: chosen[known] for model, chosen in comparison.answers.items()}
    metrics: dict[str, Any] = {
        model: classification_scores(gold, chosen, task) for model, chosen in answers.items()
    }
    for model, probabilities in comparison.probabilities.items():
        confidence = decision_confidence(probabilities[known], task).ravel()
        correct = decision_correct(gold, answers[model], task).ravel()
        metrics[model]["ece"], metrics[model]["ece_floor"] = calibration_error(confidence, correct)
    teacher, student = ((answers[model] == gold).all(1) for model in ("teacher", "student"))
    metrics["difference"] = {
        "accuracy": float(student.mean() - teacher.mean()),
        "p_value": mcnemar_p_value(teacher, student),
    }
    metrics["majority"] = float(np.unique(gold, axis=0, return_counts=True)[1].max() / len(gold))
    if comparison.single_teachers:
        metrics["teachers"] = {
            name: classification_scores(gold, chosen[known], task)
            for name, chosen in comparison.single_teachers.items()
        }
    return metrics


def _metrics_without_gold(comparison: Comparison) -> dict:
    """Agreement of teacher and student on all texts, and what each answers."""
    answers, probabilities = comparison.answers, comparison.probabilities
    return {
        "agreement": float((answers["teacher"] == answers["student"]).all(1).mean()),
        "unseen": {
            model: _confidence_metrics(answers[model], probabilities[model], comparison.task)
            for model in ("teacher", "student")
        },
    }


def _confidence_metrics(answers: np.ndarray, probabilities: np.ndarray, task: Task) -> dict:
    """Mean confidence, the share of texts of confidence CONFIDENT or more, and the class shares up to ten classes."""
    confidence = certainty(probabilities, task)
    metrics = {"confidence": float(confidence.mean()), "coverage": float((confidence >= CONFIDENT).mean())}
    return metrics | per_class(task.labels, {"shares": class_shares(answers, task.labels).values()})
