"""The figures of metrics/dev.json and metrics/test.json."""

import numpy as np

from nolabels.core.labels import certainty
from nolabels.reporting.comparison import how_sure, were_right
from nolabels.reporting.statistics import calibration_error, few, mcnemar, scores, shares

SURE = 0.9  # the certainty from which on an answer counts as covered


def compare(gold, answers, probabilities, task):
    """The part of the metrics that needs gold.

    gold: N x K bool; answers: {who: N x K bool}; probabilities: {who: N x K}, of some of them.
    """
    found = {who: scores(gold, given, task) for who, given in answers.items()}
    for who, given in probabilities.items():
        sure, right = how_sure(given, task).ravel(), were_right(gold, answers[who], task).ravel()
        found[who]["ece"], found[who]["ece_floor"] = calibration_error(sure, right)
    teacher, student = ((answers[who] == gold).all(1) for who in ("teacher", "student"))
    found["difference"] = {
        "accuracy": float(student.mean() - teacher.mean()),
        "p_value": mcnemar(teacher, student),
    }
    found["majority"] = float(np.unique(gold, axis=0, return_counts=True)[1].max() / len(gold))
    return found


def describe(answers, probabilities, task):
    """What can be said of answers without gold: how sure they are, and the share of each class.

    answers: N x K bool; probabilities: N x K. coverage: share of the texts whose certainty is at least
    SURE, which are those a person may want to leave to the model.
    """
    sure = certainty(probabilities, task)
    found = {"confidence": float(sure.mean()), "coverage": float((sure >= SURE).mean())}
    return found | few(task.labels, {"shares": shares(answers, task.labels).values()})
