"""From raw scores to probabilities, without labels: prior matching, temperature and weights of templates."""

from dataclasses import dataclass

import numpy as np

from nolabels.core.stage import UserError


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log-probabilities along the last axis."""
    scores = scores - scores.max(-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def match_prior(
    scores: np.ndarray,
    prior: np.ndarray,
    start: np.ndarray | None = None,
    *,
    tolerance: float = 1e-5,
    rounds: int = 2_000,
) -> np.ndarray:
    """The bias of each class that makes the mean probability over the texts equal the calibration prior.

    A zero-shot teacher favours some answers whatever the text. Prior matching gives each class k a weight w_k, with
    p_ik proportional to w_k exp(score_ik), such that the mean of p_ik over i is prior_k: w_k is multiplied by
    prior_k / mean_k until both agree. The method is that of Liusie, Manakul and Gales 2023 ("Mitigating Word Bias in
    Zero-shot Prompt-based Classifiers"), the iteration is UCPA of Estienne et al. 2023 ("Unsupervised Calibration
    through Prior Adaptation"). It assumes that the texts have the given class shares.

    Parameters
    ----------
    scores, prior : np.ndarray
        N x K; K shares of the classes, sum 1.
    start : np.ndarray, optional
        K log-weights to begin with; 0 without it.
    tolerance, rounds : float, int
        The iteration ends where no mean probability is further from its prior, or after so many rounds.

    Returns
    -------
    np.ndarray
        K log-weights, mean 0, to be added to the scores. UserError where none reach the prior (a class never scores).
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
    # the iteration slows down where nearly all probabilities are 0 or 1
    if np.abs(mean - prior).max() < 1e-3:
        return bias - bias.mean()
    raise UserError(
        "label.calibration: the class prior must be reachable by prior matching, found mean "
        f"probabilities {np.round(mean, 4).tolist()} for the prior {prior.tolist()}"
    )


@dataclass(frozen=True)
class Mixture:
    """Scores as a mixture of normal distributions, one for each class.

    The scores of the texts of one class follow a normal distribution, with one width for all classes, and the class's
    own score is raised by one amount for all: with s centred over the classes, s_i given class k has the mean
    a + c e_k and the variance v in each direction. The probability of a class is then a softmax of s / T + bias with
    T = v / c.

    Attributes
    ----------
    temperature : float
        T, the divisor of the scores, above 0.
    shares : np.ndarray
        K shares of the classes, sum 1.
    """

    temperature: float
    shares: np.ndarray


def fit_mixture(
    scores: np.ndarray, prior: np.ndarray | None = None, *, tolerance: float = 1e-5, rounds: int = 1000
) -> Mixture | None:
    """The temperature of scores and the shares of the classes, from the clusters that the scores form.

    Expectation maximization estimates a, c, v of a Mixture and, unless a prior is given, the shares. This is the
    prototypical calibration of Han et al. 2023 ("Prototypical Calibration for Few-shot Learning of Language Models")
    with as many Gaussians as classes, tied so that no labels are needed to match clusters with classes.

    Parameters
    ----------
    scores, prior : np.ndarray
        N x K; K shares that hold for the texts, or None to estimate them.
    tolerance, rounds : float, int
        The iteration ends at this relative change of the temperature, or after so many rounds.

    Returns
    -------
    Mixture or None
        None where the scores form no clusters (c is not above 0).
    """
    scores = np.asarray(scores, np.float64)
    count, classes = scores.shape
    scores = scores - scores.mean(1, keepdims=True)
    own = np.eye(classes) - 1 / classes
    shares = np.full(classes, 1 / classes) if prior is None else np.asarray(prior, np.float64)
    temperature = scores.std()
    if not temperature > 0:
        return None
    least = temperature / 50  # clusters of a few texts may have no width, which would make it 0
    bias = match_prior(scores / temperature, shares)
    raised = 0.0
    for _ in range(rounds):
        posterior = np.exp(log_softmax(scores / temperature + bias))
        means, raised = _centre_and_rise(scores, posterior, raised)
        if not raised > 1e-6 * scores.std():
            return None
        # sum over classes of p_ik |s_i - a - c e_k|^2, multiplied out
        left = scores - means
        spread = (left**2).sum() - 2 * raised * (posterior * left).sum()
        spread += raised**2 * (posterior @ (own**2).sum(1)).sum()
        last, temperature = temperature, max(spread / (count * (classes - 1)) / raised, least)
        if prior is None:
            shares = posterior.mean(0)
            bias = np.log(shares) - means / temperature
        else:
            bias = match_prior(scores / temperature, shares, bias)
        if abs(temperature - last) < tolerance * last:
            break
    return Mixture(float(temperature), shares)


def _centre_and_rise(scores: np.ndarray, posterior: np.ndarray, raised: float) -> tuple[np.ndarray, float]:
    """a (K) and c of fit_mixture, given N x K posteriors and the last c; each depends on the other."""
    count, classes = scores.shape
    for _ in range(3):
        means = (scores - raised * (posterior - 1 / classes)).mean(0)
        raised = (posterior * (scores - means)).sum() / (count * (1 - 1 / classes))
    return means, raised


def agreement_weights(scores: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The weight of each template, by how often it agrees with the others.

    The label of a template, and of the mean of all others, is taken after prior matching. With a share a of
    equal labels among K classes the weight is log((K - 1) a / (1 - a)), 0 at chance and below: the best
    weights of independent experts whose accuracy is a (Nitzan and Paroush 1982, "Optimal Decision Rules
    in Uncertain Dichotomous Choice Situations"; for K classes as in SAMME of Hastie et al. 2009). A wording
    that does not tell the classes apart agrees at chance with those that do.

    Parameters
    ----------
    scores : np.ndarray
        N x T x K, of the templates of a teacher, or of one template for each teacher.
    prior : np.ndarray
        K shares of the classes, sum 1.

    Returns
    -------
    np.ndarray
        T weights, sum 1. One or two templates have equal weights: two agree as often with each other.
    """
    count, templates, classes = scores.shape
    if templates < 3:
        return np.full(templates, 1 / templates)

    def labels(raw: np.ndarray) -> np.ndarray:
        return (raw + match_prior(raw, prior)).argmax(1)

    total = scores.sum(1)
    agreement = np.array(
        [(labels(own) == labels((total - own) / (templates - 1))).mean() for own in scores.swapaxes(0, 1)]
    )
    agreement = np.clip(agreement, 1e-9, 1 - 1 / (count + 1))  # equal on N texts is not equal on all texts
    weights = np.log((classes - 1) * agreement / (1 - agreement)).clip(0)
    return weights / weights.sum() if weights.any() else np.full(templates, 1 / templates)


def class_log_odds(scores: np.ndarray, against: np.ndarray | None) -> np.ndarray:
    """Log-odds that a class holds, each class judged by itself.

    Parameters
    ----------
    scores : np.ndarray
        N x T x K raw scores.
    against : np.ndarray or None
        N x T x K scores of what each class competes with: the odds are then those of transformers' zero-shot
        pipeline with multi_label. None: the odds of the class under the softmax over the classes.

    Returns
    -------
    np.ndarray
        N x T x K.
    """
    if against is not None:
        return np.asarray(scores, np.float64) - against
    shares = np.clip(np.exp(log_softmax(np.asarray(scores, np.float64))), 1e-12, 1 - 1e-12)
    return np.log(shares) - np.log1p(-shares)


def reject_threshold(evidence: np.ndarray) -> float | None:
    """The evidence below which a text has none of the classes, or None where it forms no two clusters.

    evidence: N, the highest calibrated score of each text (the maximum logit of Hendrycks et al. 2022,
    "Scaling Out-of-Distribution Detection for Real-World Settings"). Two normal distributions are fitted
    to it (scikit-learn's GaussianMixture). The threshold is where both are equally likely. Where they overlap
    (Ashman's D of at most 2: Ashman, Bird and Zepf 1994, "Detecting Bimodality in Astronomical Datasets") no
    threshold can be known without labels.
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


def sigmoid(odds: np.ndarray) -> np.ndarray:
    """Probabilities of log-odds."""
    return 1 / (1 + np.exp(-odds))
