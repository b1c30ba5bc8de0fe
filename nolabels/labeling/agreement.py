"""How much answers agree."""

import numpy as np


def kappa(left, right):
    """Cohen's kappa of two sets of labels (N x K bool), the mean over the classes with several per text.

    1: always the same; 0: as often as by chance, and also where there is but one label.
    """
    from sklearn.metrics import cohen_kappa_score

    if (left.sum(1) == 1).all() and (right.sum(1) == 1).all():
        pairs = [(left.argmax(1), right.argmax(1))]
    else:
        pairs = zip(left.T, right.T, strict=True)
    found = [cohen_kappa_score(*pair) if len(np.unique(np.concatenate(pair))) > 1 else 0.0 for pair in pairs]
    return float(np.mean(found))


def template_agreement(answers):
    """Mean kappa over the pairs of T templates' labels (T x N x K bool); None for one template."""
    pairs = [
        kappa(answers[one], answers[two])
        for one in range(len(answers))
        for two in range(one + 1, len(answers))
    ]
    return float(np.mean(pairs)) if pairs else None


def equal_answers(answers):
    """Share of equal answers, the mean over the pairs of J times N answers; None for fewer than two."""
    pairs = [(one == two).mean() for number, one in enumerate(answers) for two in answers[number + 1 :]]
    return float(np.mean(pairs)) if pairs else None
