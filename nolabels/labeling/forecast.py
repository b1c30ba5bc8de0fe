"""The accuracy to expect of teacher and student, without any gold answer.

Where two sentence encoders were asked, the share of texts on which they agree tells the accuracy of the chosen teachers (after
Jiang et al. 2022, "Assessing Generalization of SGD via Disagreement", who show for two runs of one network that both are
equal), with a correction for the number of classes: see `accuracy_of_agreement`. Else it is the mean confidence of the
calibrated answers (Guillory et al. 2021, "Predicting with Confidence on Unseen Distributions"), which was off by up to 36
points on the eight tasks of benchmarks/tasks.md.
Further signals without gold say whether to trust the labels (`warnings`); none of them sees a teacher that is wrong in a
consistent way.
"""

import numpy as np

from nolabels.core.labels import decide
from nolabels.core.params import Task
from nolabels.labeling.agreement import kappa
from nolabels.labeling.tfidf import fit_predict

TEXTS = 20_000  # most texts that the forecast reads; the pool is in random order
FOLDS = 5
# below these the labels are not to be trusted; chance is 0, and 0.2 the end of "slight agreement" (Landis
# and Koch 1977)
LEAST_TEMPLATES, LEAST_TEXTS = 0.2, 0.05
MOST_MOVED = 0.2  # share of the labels that calibration would change, where it is off
# of the interval on either side
MARGIN = 0.075
# of the texts on which the encoders disagree, and its change with each class: see accuracy_of_agreement
LINE, MOST_CLASSES = (0.46, -0.12), 6
# accuracy that teachers should have: of two classes, of more
LEAST_OF_TWO, LEAST_OF_MORE = 0.6, 0.5


def expected_accuracy(probabilities: np.ndarray, task: Task) -> float:
    """Mean probability that the answers are right.

    Parameters
    ----------
    probabilities : np.ndarray
        N x K calibrated probabilities.
    task : Task
        With multi_label all K decisions must be right, and are taken as independent.

    Returns
    -------
    float
        In 0..1.
    """
    several = task.multi_label
    confidence = np.maximum(probabilities, 1 - probabilities).prod(1) if several else probabilities.max(1)
    return float(confidence.mean())


def accuracy_of_agreement(agreed: float, classes: int, line: tuple[float, float] = LINE) -> float:
    """The accuracy of the chosen teachers, from the share of texts on which two encoders agree.

    It is agreed + (1 - agreed) x (line[0] + line[1] x classes). Encoders make some mistakes together, and the teachers together
    answer some texts right on which the encoders disagree. With two classes one of two different answers is right, and the
    accuracy is above agreement; with many classes neither may be, and it is below. The line was fitted to the eight tasks of benchmarks/tasks.md, which shows what it gives on those left out of the fit.

    Parameters
    ----------
    agreed : float
        In 0..1.
    classes : int
        Number of classes; more than MOST_CLASSES, the most that were measured, count as these.
    line : (float, float)
        Another one than the fitted one, to measure with.

    Returns
    -------
    float
        In 1 / classes..1.
    """
    share = line[0] + line[1] * min(classes, MOST_CLASSES)
    return max(1 / classes, agreed + (1 - agreed) * share)


def accuracy_interval(expected: float) -> tuple[float, float, float]:
    """The expected accuracy, its lower and its upper bound, each in 0..1."""
    return expected, max(0.0, expected - MARGIN), min(1.0, expected + MARGIN)


def text_agreement(texts: list[str], labels: np.ndarray, task: Task) -> float:
    """Kappa of labels and of what TF-IDF and logistic regression predict from the other texts.

    Each of FOLDS parts is predicted from the rest, as in confident learning (Northcutt, Jiang and Chuang 2021): labels
    that have nothing to do with the texts cannot be predicted.

    Parameters
    ----------
    texts : list of str
        N texts.
    labels : np.ndarray
        N x K bool.
    task : Task

    Returns
    -------
    float
        At most 1; about 0 for random labels, see agreement.kappa.
    """
    order = np.random.default_rng(0).permutation(len(texts))
    predicted = np.zeros(labels.shape, bool)
    for part in np.array_split(order, min(FOLDS, len(texts))):
        rest = np.setdiff1d(order, part)
        known = [texts[row] for row in rest], labels[rest], [texts[row] for row in part]
        predicted[part] = decide(fit_predict(*known, task), task)
    return kappa(predicted, labels)


def swapped_verbalizers(task: Task) -> list[tuple[str, str]]:
    """(name, words) of the classes whose verbalizer is the name of another class: their answers would be swapped."""
    names = {name.casefold() for name in task.names}
    return [
        (item.name, item.words)
        for item in task.classes
        if item.words.casefold() in names - {item.name.casefold()}
    ]


def warnings(
    templates: float | None,
    texts: float,
    moved: float,
    swapped: list[tuple[str, str]],
    agreed: float | None,
    confidence: float | None,
    classes: int,
) -> list[str]:
    """The reasons not to trust the labels.

    Parameters
    ----------
    templates : float or None
        Mean kappa of the templates, see agreement.template_agreement.
    texts : float
        See text_agreement.
    moved : float
        Share of the labels that calibration would change, in 0..1.
    swapped : list of (str, str)
        See swapped_verbalizers.
    agreed : float or None
        Share of texts on which the encoders agree, in 0..1; None for fewer than two.
    confidence : float or None
        Mean confidence of the answers, in 0..1; None where a text may have several labels.
    classes : int
        Number of classes.

    Returns
    -------
    list of str
        A sentence for each reason.
    """
    reasons = [
        f"the class {name!r} is asked for as {words!r}, which is the name of another class"
        for name, words in swapped
    ]
    if moved > MOST_MOVED:
        reasons.append(
            f"{moved:.0%} of the labels follow what the teacher prefers to answer: with label.calibration "
            "prior_matching they would be others"
        )
    reasons += _reasons_of_accuracy(agreed, confidence, classes)
    if templates is not None and templates < LEAST_TEMPLATES:
        reasons.append(f"the templates contradict each other (kappa {templates:.2f})")
    if texts < LEAST_TEXTS:
        reasons.append(f"the labels have little to do with the words of the texts (kappa {texts:.2f})")
    return reasons


def _reasons_of_accuracy(agreed: float | None, confidence: float | None, classes: int) -> list[str]:
    """Those of `warnings` that say that the accuracy may be below the least that it should be."""
    reasons, least = [], LEAST_OF_TWO if classes == 2 else LEAST_OF_MORE
    if agreed is not None and accuracy_interval(accuracy_of_agreement(agreed, classes))[1] < least:
        reasons.append(
            f"the encoders agree on {agreed:.0%} of the texts alone, so less than {least:.0%} of the labels may be right"
        )
    if confidence is not None and confidence < least:
        reasons.append(f"the mean confidence of the answers is {confidence:.0%}, below {least:.0%}")
    return reasons
