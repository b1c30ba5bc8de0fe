"""How much labels agree: of templates, of sentence encoders, of two sets of labels."""

from collections.abc import Sequence

import numpy as np


def cohen_kappa(left: np.ndarray, right: np.ndarray) -> float:
    """Cohen's kappa of two labelings.

    Parameters
    ----------
    left, right : np.ndarray
        N class indices each.

    Returns
    -------
    float
        1: always the same; 0: as often as by chance, and also where there is but one label.
    """
    from sklearn.metrics import cohen_kappa_score

    return cohen_kappa_score(left, right) if len(np.union1d(left, right)) > 1 else 0.0


def kappa(left: np.ndarray, right: np.ndarray) -> float:
    """Cohen's kappa of two sets of labels, with several labels per text the mean over the classes.

    Parameters
    ----------
    left, right : np.ndarray
        N x K bool each.

    Returns
    -------
    float
        See cohen_kappa.
    """
    if (left.sum(1) == 1).all() and (right.sum(1) == 1).all():
        pairs = [(left.argmax(1), right.argmax(1))]
    else:
        pairs = list(zip(left.T, right.T, strict=True))
    return float(np.mean([cohen_kappa(*pair) for pair in pairs]))


def template_agreement(labels: Sequence[np.ndarray]) -> float | None:
    """Mean kappa over the pairs of T templates' labels (T times N x K bool); None for one template."""
    pairs = [
        kappa(labels[one], labels[two]) for one in range(len(labels)) for two in range(one + 1, len(labels))
    ]
    return float(np.mean(pairs)) if pairs else None


def equal_share(labels: Sequence[np.ndarray]) -> float | None:
    """Share of equal labels, the mean over the pairs of J times N class indices; None for fewer than two."""
    pairs = [(one == two).mean() for number, one in enumerate(labels) for two in labels[number + 1 :]]
    return float(np.mean(pairs)) if pairs else None
