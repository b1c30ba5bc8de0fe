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


def match_shares(odds, shares):
    """The same for classes that are judged each by itself: the bias of each class that makes the mean
    of 1 / (1 + exp(-odds)) over the texts equal its share.

    odds: N x K, log-odds that a class holds; shares: K, each in (0, 1). Returns K log-odds to be added.
    """
    pairs = np.stack(
        [odds, np.zeros_like(odds)], axis=-1
    )  # a class against its absence: prior matching of two
    biases = [match_prior(pairs[:, index], [share, 1 - share]) for index, share in enumerate(shares)]
    return np.array([held - absent for held, absent in biases])


def own_odds(scores, against):
    """Log-odds that a class holds, each class judged by itself.

    scores: N x T x K raw; against: the same, what each class competes with (then the odds are those of
    transformers' zero-shot pipeline with multi_label), or None: the odds of the class under the softmax
    over the classes.
    """
    if against is not None:
        return np.asarray(scores, np.float64) - against
    shares = np.clip(np.exp(log_softmax(np.asarray(scores, np.float64))), 1e-12, 1 - 1e-12)
    return np.log(shares) - np.log1p(-shares)


def reject_threshold(evidence):
    """The evidence below which a text is of none of the classes, or None where there are no two groups.

    evidence: N, the highest calibrated score of each text (the maximum logit of Hendrycks et al. 2022,
    "Scaling Out-of-Distribution Detection for Real-World Settings"). Two normal distributions are fitted
    to it (scikit-learn's GaussianMixture), and the threshold is where a text is as likely of the lower one as
    of the upper one. Where they overlap (Ashman's D of at most 2: Ashman, Bird and Zepf 1994, "Detecting
    Bimodality in Astronomical Datasets") no threshold can be had without labels.
    """
    from sklearn.mixture import GaussianMixture

    if len(np.unique(evidence)) < 10:
        return None
    model = GaussianMixture(2, n_init=3, random_state=0).fit(evidence[:, None])
    low, high = np.argsort(model.means_[:, 0])
    means, variances = model.means_[:, 0], model.covariances_[:, 0, 0]
    if np.sqrt(2) * (means[high] - means[low]) <= 4 * np.sqrt(variances.sum()):
        return None
    between = np.linspace(means[low], means[high], 1001)
    return float(between[model.predict_proba(between[:, None])[:, high] >= 0.5][0])


def combine(scores, biases, weights):
    """Weighted mean over the templates of calibrated scores.

    scores: N x T x K, raw scores or log-odds; biases: T x K; weights: T, sum 1. Returns N x K. The mean
    of logs is the product of experts of Hinton 2002; one template's certainty counts more there than in
    a mean of probabilities.
    """
    return np.einsum("ntk,t->nk", np.asarray(scores, np.float64) + biases, weights)


def sigmoid(odds):
    return 1 / (1 + np.exp(-odds))
