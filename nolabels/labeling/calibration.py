"""From raw scores to probabilities, without labels: prior matching and template ensembles."""

from dataclasses import dataclass

import numpy as np

from nolabels.core.stage import UserError


def log_softmax(scores):
    """Log-probabilities along the last axis."""
    scores = scores - scores.max(-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def match_prior(scores, prior, start=None, *, tolerance=1e-5, rounds=2_000):
    """The bias of each class that makes the mean probability over the texts equal the prior.

    A zero-shot teacher favours some answers whatever the text. With weights w_k on the classes,
    p_ik proportional to w_k exp(score_ik), the w_k are found for which the mean of p_ik over i is
    prior_k: w_k is multiplied by prior_k / mean_k until both agree. Prior matching of Liusie,
    Manakul and Gales 2023 ("Mitigating Word Bias in Zero-shot Prompt-based Classifiers"); the
    iteration is UCPA of Estienne et al. 2023 ("Unsupervised Calibration through Prior Adaptation").
    It assumes that the texts have the given class shares.

    scores: N x K; prior: K shares, sum 1; start: K log-weights to begin with, or None. Returns K
    log-weights, mean 0, to be added to the scores. Raises UserError where no weights reach the prior
    (a class that never scores).
    """
    prior = np.asarray(prior, np.float64)
    scores = np.asarray(scores, np.float64)
    bias = np.zeros(len(prior)) if start is None else start
    for _ in range(rounds):
        mean = np.exp(log_softmax(scores + bias)).mean(0)
        if not np.isfinite(mean).all() or (mean <= 0).any():
            break
        if np.abs(mean - prior).max() < tolerance:
            return bias - bias.mean()
        bias = bias + np.log(prior) - np.log(mean)
    # where nearly all probabilities are 0 or 1 the last steps are long in coming
    if np.abs(mean - prior).max() < 1e-3:
        return bias - bias.mean()
    raise UserError(
        "label.calibration: the class prior must be reachable by prior matching, found mean "
        f"probabilities {np.round(mean, 4).tolist()} for the prior {prior.tolist()}"
    )


@dataclass(frozen=True)
class Mixture:
    """temperature: what scores are divided by, above 0; shares: K, of the classes, sum 1."""

    temperature: float
    shares: np.ndarray


def fit_mixture(scores, prior=None, *, tolerance=1e-5, rounds=1000):
    """How sharp scores are, and how large the classes, from the groups that they fall into.

    The scores of the texts of one class are taken for a normal distribution, with one width for all
    classes, and the class's own score is raised by one amount for all: with s centred over the classes,
    s_i given class k has the mean a + c e_k and the variance v in each direction. The probability of a
    class is then a softmax of s / T + bias with T = v / c. Expectation maximization finds a, c, v and, unless
    a prior is given, the shares. This is the prototypical calibration of Han et al. 2023 ("Prototypical
    Calibration for Few-shot Learning of Language Models") with as many Gaussians as classes, tied so
    that which group is which class needs no labels.

    scores: N x K; prior: K shares that hold for the texts, or None to estimate them. Returns a Mixture,
    or None where the scores do not fall into groups (c is not above 0).
    """
    scores = np.asarray(scores, np.float64)
    count, classes = scores.shape
    scores = scores - scores.mean(1, keepdims=True)
    own = np.eye(classes) - 1 / classes
    shares = np.full(classes, 1 / classes) if prior is None else np.asarray(prior, np.float64)
    temperature = scores.std()
    if not temperature > 0:
        return None
    least = temperature / 50  # groups without any width, which a few texts may be, would make it 0
    bias = match_prior(scores / temperature, shares)
    raised = 0.0
    for _ in range(rounds):
        found = np.exp(log_softmax(scores / temperature + bias))
        for _ in range(3):  # means and the common rise depend on each other
            means = (scores - raised * (found - 1 / classes)).mean(0)
            raised = (found * (scores - means)).sum() / (count * (1 - 1 / classes))
        if not raised > 1e-6 * scores.std():
            return None
        # sum over classes of p_ik |s_i - a - c e_k|^2, multiplied out
        left = scores - means
        spread = (left**2).sum() - 2 * raised * (found * left).sum()
        spread += raised**2 * (found @ (own**2).sum(1)).sum()
        last, temperature = temperature, max(spread / (count * (classes - 1)) / raised, least)
        if prior is None:
            shares = found.mean(0)
            bias = np.log(shares) - means / temperature
        else:
            bias = match_prior(scores / temperature, shares, bias)
        if abs(temperature - last) < tolerance * last:
            break
    return Mixture(float(temperature), shares)


def agreement_weights(scores, prior):
    """How much each template counts, by how often its answer is that of the others: T weights, sum 1.

    The answer of a template, and of the mean of all others, is taken after prior matching. With a share a of
    equal answers among K classes the weight is log((K - 1) a / (1 - a)), 0 at chance and below: the best
    weights of independent experts whose accuracy is a (Nitzan and Paroush 1982, "Optimal Decision Rules
    in Uncertain Dichotomous Choice Situations"; for K classes as in SAMME of Hastie et al. 2009). A wording
    that does not tell the classes apart agrees at chance with those that do.

    scores: N x T x K; prior: K shares. Two templates agree as often with each other: they count alike.
    """
    count, templates, classes = scores.shape
    if templates < 3:
        return np.full(templates, 1 / templates)

    def answers(given):
        return (given + match_prior(given, prior)).argmax(1)

    total = scores.sum(1)
    agreement = np.array(
        [(answers(own) == answers((total - own) / (templates - 1))).mean() for own in scores.swapaxes(0, 1)]
    )
    agreement = np.clip(agreement, 1e-9, 1 - 1 / (count + 1))  # of all N texts is not of all texts
    weights = np.log((classes - 1) * agreement / (1 - agreement)).clip(0)
    return weights / weights.sum() if weights.any() else np.full(templates, 1 / templates)


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


def pairs(odds):
    """N x K log-odds -> N x K x 2 scores: each class, and its absence."""
    return np.stack([odds, np.zeros_like(odds)], -1)


def sigmoid(odds):
    return 1 / (1 + np.exp(-odds))
