"""From raw scores to probabilities, without labels: prior matching and template ensembles."""

import numpy as np

from nolabels.stage import UserError


def log_softmax(scores):
    """Log-probabilities along the last axis."""
    scores = scores - scores.max(-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def match_prior(scores, prior, *, tolerance=1e-6, rounds=10_000):
    """The bias of each class that makes the mean probability over the texts equal the prior.

    A zero-shot teacher favours some answers whatever the text. With weights w_k on the classes,
    p_ik proportional to w_k exp(score_ik), the w_k are found for which the mean of p_ik over i is
    prior_k: w_k is multiplied by prior_k / mean_k until both agree. Prior matching of Liusie,
    Manakul and Gales 2023 ("Mitigating Word Bias in Zero-shot Prompt-based Classifiers"); the
    iteration is UCPA of Estienne et al. 2023 ("Unsupervised Calibration through Prior Adaptation").
    It assumes that the texts have the given class shares.

    scores: N x K, raw; prior: K shares, sum 1. Returns K log-weights, mean 0, to be added to the
    scores. Raises UserError where no weights reach the prior (a class that never scores).
    """
    prior = np.asarray(prior, np.float64)
    scores = np.asarray(scores, np.float64)
    bias = np.zeros(len(prior))
    for _ in range(rounds):
        mean = np.exp(log_softmax(scores + bias)).mean(0)
        if not np.isfinite(mean).all() or (mean <= 0).any():
            break
        step = np.log(prior) - np.log(mean)
        bias += step
        if np.abs(mean - prior).max() < tolerance:
            return bias - bias.mean()
    raise UserError(
        "label.calibration: the class prior must be reachable by prior matching, found mean "
        f"probabilities {np.round(mean, 4).tolist()} for the prior {prior.tolist()}"
    )


def combine(scores, biases, weights):
    """Weighted mean over the templates of calibrated log-probabilities.

    scores: N x T x K raw; biases: T x K; weights: T, sum 1. Returns N x K (log-probabilities up to
    a constant per text). The mean of logs is the product of experts of Hinton 2002; one template's
    certainty counts more there than in a mean of probabilities.
    """
    return np.einsum("ntk,t->nk", log_softmax(np.asarray(scores, np.float64) + biases), weights)
