"""What can be said of accuracy without any gold answer. Nothing here is ever given one.

Where two sentence encoders were asked, the share of texts on which they agree is taken for the accuracy of the chosen
teachers (after Jiang et al. 2022, "Assessing Generalization of SGD via Disagreement", who show this for two runs of one
network). On the eight tasks of benchmarks/tasks.md it is off by 5 points on average. Else it is how sure the calibrated
answers are (Guillory et al. 2021, "Predicting with Confidence on Unseen Distributions"), which was off by up to 23 there.
Whether to believe it is asked of signals that need no gold either; none of them sees a teacher that is wrong in a
consistent way.
"""

import numpy as np

from nolabels.core.labels import decide
from nolabels.labeling.agreement import kappa
from nolabels.labeling.tfidf import fit_predict

TEXTS = 20_000  # at most so many are looked at; a pool stands in random order
FOLDS = 5
# below these the labels are not to be trusted; chance is 0, and 0.2 the end of "slight agreement" (Landis
# and Koch 1977)
LEAST_TEMPLATES, LEAST_TEXTS = 0.2, 0.05
MOST_MOVED = 0.2  # share of the labels that calibration would change, where it is off
# of the interval on either side: what holds the accuracy of seven of the eight tasks where encoders agree or not
MARGIN = 0.075
# accuracy that teachers should have: of two classes, of more
LEAST_OF_TWO, LEAST_OF_MORE = 0.6, 0.5


def expected_accuracy(probabilities, task):
    """Mean probability that the answers are right, in 0..1.

    probabilities: N x K. With several labels per text all K decisions must be right, and are taken as independent.
    """
    several = task.multi_label
    sure = np.maximum(probabilities, 1 - probabilities).prod(1) if several else probabilities.max(1)
    return float(sure.mean())


def interval(expected):
    """expected, low and high, each in 0..1."""
    return expected, max(0.0, expected - MARGIN), min(1.0, expected + MARGIN)


def text_agreement(texts, answers, task):
    """Kappa of N labels (N x K bool) and what TF-IDF and logistic regression learn from the others' texts.

    Out of FOLDS parts each is foretold from the rest, as in confident learning (Northcutt, Jiang and Chuang
    2021): labels that have nothing to do with the texts cannot be foretold.
    """
    places = np.random.default_rng(0).permutation(len(texts))
    found = np.zeros(answers.shape, bool)
    for part in np.array_split(places, min(FOLDS, len(texts))):
        rest = np.setdiff1d(places, part)
        given = [texts[row] for row in rest], answers[rest], [texts[row] for row in part]
        found[part] = decide(fit_predict(*given, task), task)
    return kappa(found, answers)


def named_as_another(task):
    """Classes whose words are another's name, [(name, words)]: the answers would then be swapped."""
    names = {name.casefold() for name in task.names}
    return [
        (item.name, item.words)
        for item in task.classes
        if item.words.casefold() in names - {item.name.casefold()}
    ]


def warnings(templates, texts, moved, swapped, agreed, classes):
    """Why the labels are not to be trusted, a sentence each; none where nothing speaks against them.

    templates: template_agreement; texts: text_agreement; moved: share of labels that calibration would change;
    swapped: see named_as_another; agreed: share of texts on which two encoders agree, or None; classes: their number.
    """
    found = [
        f"the class {name!r} is asked for as {words!r}, which is the name of another class"
        for name, words in swapped
    ]
    if moved > MOST_MOVED:
        found.append(
            f"{moved:.0%} of the labels follow what the teacher prefers to answer: with label.calibration "
            "prior_matching they would be others"
        )
    least = LEAST_OF_TWO if classes == 2 else LEAST_OF_MORE
    if agreed is not None and agreed - MARGIN < least:
        found.append(
            f"the encoders agree on {agreed:.0%} of the texts alone, so less than {least:.0%} of the labels may be right"
        )
    if templates is not None and templates < LEAST_TEMPLATES:
        found.append(f"the templates contradict each other (kappa {templates:.2f})")
    if texts < LEAST_TEXTS:
        found.append(f"the labels have little to do with the words of the texts (kappa {texts:.2f})")
    return found
