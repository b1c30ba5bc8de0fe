"""Scores of predictions with their uncertainty: intervals, tests, F1, calibration and coverage."""

import numpy as np

from nolabels.core.labels import per_class
from nolabels.core.params import Task


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson 1927).

    Parameters
    ----------
    correct : int
        How many of `total` are correct, 0 to `total`.
    total : int
        At least 1.

    Returns
    -------
    low, high : float
        Each in 0..1.
    """
    from scipy.stats import binomtest

    interval = binomtest(int(correct), int(total)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar_p_value(left: np.ndarray, right: np.ndarray) -> float:
    """Exact two-sided p-value of McNemar's test (1947) that two models are equally accurate.

    Only the texts that one of the two classifies correctly and the other does not are counted: under the null
    hypothesis each model is the correct one with probability 0.5.

    Parameters
    ----------
    left, right : ndarray of bool, shape (N,)
        Whether each answer is correct, for the same texts.

    Returns
    -------
    float
        In 0..1; 1 where the models never differ.
    """
    from scipy.stats import binomtest

    only_left = int((left & ~right).sum())
    only_right = int((right & ~left).sum())
    if only_left + only_right == 0:
        return 1.0
    return float(binomtest(only_left, only_left + only_right).pvalue)


def classification_scores(gold: np.ndarray, answers: np.ndarray, task: Task) -> dict:
    """Accuracy with its interval, macro F1, and the F1 of each class for up to LISTED_CLASSES classes.

    Parameters
    ----------
    gold, answers : ndarray of bool, shape (N, K)
        The classes of each text; at least one text.
    task : Task

    Returns
    -------
    dict
        `accuracy`, `accuracy_low`, `accuracy_high` and `macro_f1`, each in 0..1; with several labels per text
        `micro_f1` too, and accuracy is then the share of texts whose classes are all correct. `f1` is {class: F1}. A
        class that neither `gold` nor `answers` holds has F1 0.
    """
    from sklearn.metrics import f1_score

    correct = (gold == answers).all(1)
    low, high = wilson_interval(correct.sum(), len(gold))
    f1 = f1_score(gold, answers, average=None, zero_division=0.0)
    scores = {
        "accuracy": float(correct.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": float(f1.mean()),
    }
    if task.multi_label:
        scores["micro_f1"] = float(f1_score(gold, answers, average="micro", zero_division=0.0))
    return scores | per_class(task.labels, {"f1": f1})


def reliability_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> list[dict]:
    """The points of a calibration curve: answers in bins of equal mass, the least confident first.

    Parameters
    ----------
    confidence : ndarray of float, shape (N,)
        In 0..1.
    correct : ndarray of bool, shape (N,)
    bins : int
        At most so many bins; none is empty.

    Returns
    -------
    list of dict
        `confidence` and `accuracy`, the means of the bin; `low` and `high`, the 95 % interval of its accuracy (Wilson);
        `texts`, the number of answers in it.
    """
    points = []
    for part in _equal_mass_bins(confidence, bins):
        low, high = wilson_interval(correct[part].sum(), len(part))
        point = {"confidence": float(confidence[part].mean()), "accuracy": float(correct[part].mean())}
        points.append(point | {"low": low, "high": high, "texts": len(part)})
    return points


def coverage_curve(confidence: np.ndarray, correct: np.ndarray, steps: int = 20) -> list[tuple[float, float]]:
    """Accuracy of the most confident answers, for growing shares of all answers.

    The risk-coverage curve of selective classification (El-Yaniv and Wiener 2010), with accuracy for risk.

    Parameters
    ----------
    confidence : ndarray of float, shape (N,)
    correct : ndarray of bool, shape (N,)
    steps : int

    Returns
    -------
    list of (float, float)
        `steps` pairs of a share of the answers and the accuracy on it, both in 0..1; none without answers.
    """
    ordered = correct[np.argsort(-confidence, kind="stable")]
    if not len(ordered):
        return []
    counts = [max(1, round(len(ordered) * step / steps)) for step in range(1, steps + 1)]
    return [(step / steps, float(ordered[:count].mean())) for step, count in enumerate(counts, 1)]


def confidence_histogram(confidence: np.ndarray, low: float, bins: int = 20) -> list[tuple[float, int]]:
    """How many answers have which confidence.

    Parameters
    ----------
    confidence : ndarray of float, shape (N,)
        What is below `low` by rounding is counted in the first bin.
    low : float
        Where the first bin begins; the last one ends at 1.
    bins : int

    Returns
    -------
    list of (float, int)
        The middle of each bin and the number of answers in it.
    """
    counts, edges = np.histogram(np.clip(confidence, low, 1), bins, (low, 1))
    return list(zip(((edges[:-1] + edges[1:]) / 2).tolist(), counts.tolist(), strict=True))


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> tuple[float, float]:
    """Expected calibration error, and its floor: what a perfectly calibrated model would show on as many texts.

    The error is the mean distance between confidence and accuracy over bins of equal mass (Naeini, Cooper and
    Hauskrecht 2015; equal mass after Nixon et al. 2019, "Measuring Calibration in Deep Learning"). On few texts it is
    above 0 for every model. The floor is its mean over 200 draws in which each answer is correct with the probability
    that its confidence states.

    Parameters
    ----------
    confidence : ndarray of float, shape (N,)
        In 0..1; at least one answer.
    correct : ndarray of bool, shape (N,)
    bins : int

    Returns
    -------
    error, floor : float
        Each in 0..1.
    """
    parts = _equal_mass_bins(confidence, bins)
    count, random = len(confidence), np.random.default_rng(0)

    def error(right):
        return sum(abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts) / count

    floor = np.mean([error(random.random(count) < confidence) for _ in range(200)])
    return float(error(correct)), float(floor)


def _equal_mass_bins(confidence: np.ndarray, bins: int) -> list[np.ndarray]:
    """Indices of the N answers in bins of equal mass, the least confident first; no bin is empty."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    return [part for part in parts if len(part)]
