"""Figures about predictions, with how far they can be trusted."""

import numpy as np


def wilson(correct, total):
    """95 % interval of a share (Wilson 1927): low and high, each in 0..1."""
    from scipy.stats import binomtest

    interval = binomtest(int(correct), int(total)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(left, right):
    """Exact two-sided p-value that two sets of answers to the same texts are equally good.

    left, right: N bool, whether each answer is correct. The exact form of McNemar 1947: the texts on
    which only one of the two is correct are a fair coin's throws.
    """
    from scipy.stats import binomtest

    only_left = int((left & ~right).sum())
    only_right = int((right & ~left).sum())
    if only_left + only_right == 0:
        return 1.0
    return float(binomtest(only_left, only_left + only_right).pvalue)


def scores(gold, answers, task):
    """Accuracy with its interval, macro F1 and the F1 of each class (up to ten classes).

    gold, answers: N x K bool, the classes of each text; task: params.Task. With several labels per
    text, accuracy is the share of texts whose every class is right, and micro F1 stands beside it. A
    class that neither holds nor receives a text has F1 0.
    """
    from sklearn.metrics import f1_score

    correct = (gold == answers).all(1)
    low, high = wilson(correct.sum(), len(gold))
    per_class = f1_score(gold, answers, average=None, zero_division=0.0)
    found = {
        "accuracy": float(correct.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": float(per_class.mean()),
    }
    if task.multi_label:
        found["micro_f1"] = float(f1_score(gold, answers, average="micro", zero_division=0.0))
    return found | few(task.labels, {"f1": per_class})


def equal_mass(confidence, bins):
    """Places of N answers in bins of equal mass, the least sure first; no bin is empty."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    return [part for part in parts if len(part)]


def reliability(confidence, correct, bins=10):
    """What a calibration curve is drawn of: for each bin of equal mass a dict of five numbers.

    confidence: N, the probability of each answer; correct: N bool. confidence, accuracy: means over the
    bin; low, high: the 95 % interval of the accuracy (Wilson); texts: answers in the bin.
    """
    found = []
    for part in equal_mass(confidence, bins):
        low, high = wilson(correct[part].sum(), len(part))
        sure, right = float(confidence[part].mean()), float(correct[part].mean())
        found.append({"confidence": sure, "accuracy": right, "low": low, "high": high, "texts": len(part)})
    return found


def coverage_curve(confidence, correct, steps=20):
    """Accuracy of the surest answers: `steps` pairs of (share of the N answers, their accuracy).

    The risk-coverage curve of selective classification (El-Yaniv and Wiener 2010), with accuracy for risk.
    """
    right = correct[np.argsort(-confidence, kind="stable")]
    counts = [max(1, round(len(right) * step / steps)) for step in range(1, steps + 1)] if len(right) else []
    return [(step / steps, float(right[:count].mean())) for step, count in enumerate(counts, 1)]


def histogram(confidence, low, bins=20):
    """How many answers are how sure: pairs of a bin's middle and its count, from low to 1."""
    counts, edges = np.histogram(np.clip(confidence, low, 1), bins, (low, 1))
    return list(zip(((edges[:-1] + edges[1:]) / 2).tolist(), counts.tolist(), strict=True))


def calibration_error(confidence, correct, bins=10):
    """Expected calibration error, and what a perfect model would show on as many texts: both in 0..1.

    confidence: N, the probability of each answer; correct: N bool. The answers are parted by confidence
    into bins of equal mass; the error is the mean distance of confidence and accuracy over the bins
    (Naeini, Cooper and Hauskrecht 2015; equal mass after Nixon et al. 2019, "Measuring Calibration in
    Deep Learning"). On few texts it is above 0 for every model: the floor is its mean over 200 draws in
    which each answer is right with the probability that it states.
    """
    parts = equal_mass(confidence, bins)
    count, random = len(confidence), np.random.default_rng(0)

    def error(right):
        return sum(abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts) / count

    floor = np.mean([error(random.random(count) < confidence) for _ in range(200)])
    return float(error(correct)), float(floor)


def shares(answers, names):
    """How large a part of the texts has each class; answers: N x K bool."""
    means = answers.mean(0) if len(answers) else np.zeros(len(names))
    return {name: float(mean) for name, mean in zip(names, means, strict=True)}


def few(names, figures):
    """{title: {class: number}} of K numbers each, for up to ten classes: a metrics file is read by people."""
    if len(names) > 10:
        return {}
    return {
        title: {name: float(value) for name, value in zip(names, values, strict=True)}
        for title, values in figures.items()
    }
