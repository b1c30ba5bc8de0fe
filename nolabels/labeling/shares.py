"""The calibration prior of label.prior: auto, a guess of the shares of the classes in the pool.

The scores of one teacher hardly tell the shares: a preference of the teacher and a large class look the same. Two
different encoders tell them in part. Candidate shares are tried: equal ones, and each class in turn as the larger one.

Three and more classes: each encoder is calibrated to the candidate, with its answers refined by clusters and without.
Under wrong shares an encoder cuts the large class in two in its own way, and the encoders agree less beyond chance
(Cohen's kappa). The evidence for a candidate is SHARPNESS x kappa.

Two classes: there the encoders make the same mistakes, and agree under wrong shares too. But the cosines of a text with
two texts about the classes are of one scale, so the preference that calibration has to take away is seldom large. The
evidence for a candidate is the log-probability of the bias that match_prior needs to reach it, normal around 0.

Where no candidate has clearly more evidence than equal shares, the shares are taken as equal. Else they are the mean of
all candidates, weighted by exp(evidence), which errs on the even side. benchmarks/tasks.md holds the gain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nolabels.core.params import Params
from nolabels.core.stage import UserError
from nolabels.labeling.agreement import cohen_kappa
from nolabels.labeling.calibration import log_softmax, match_prior
from nolabels.labeling.groups import DIRECTIONS, fit_gaussians
from nolabels.labeling.outputs import TeacherOutput

TEXTS = 1_000  # most texts that are used; the pool is in random order
LEAST_TEXTS, MOST_CLASSES = 200, 20  # fewer texts say too little; more classes take minutes
TIMES = (2, 4, 8, 16, 32)  # so much larger than each of the others is the class in question
# Chosen on the eight tasks of benchmarks/tasks.md: kappa that uneven shares must gain, and how sharply it is weighted.
LEAST_GAIN, SHARPNESS = 0.05, 40
LEAST_KAPPA = 0.4  # where "moderate" agreement begins (Landis and Koch 1977): less has too little to tell
# Chosen on the tasks of two classes on that page: the evidence of the bias that uneven shares must gain.
LEAST_BIAS_GAIN = 0.8
# standard deviation, in log-odds, of the scores that clusters begin with: that of calibrated encoders. The bias of a
# class has half of it.
SPREAD = 2.0
ROUNDS, SETTLED, TOLERANCE = 25, 1e-2, 2e-3  # of expectation maximization: kappa needs labels alone


@dataclass(frozen=True)
class Guess:
    """The guessed shares of the classes.

    Attributes
    ----------
    shares : np.ndarray
        K shares, sum 1.
    why : str or None
        Why they are taken as equal; None where the pool tells them.
    """

    shares: np.ndarray
    why: str | None


def guess_shares(outputs: Mapping[str, TeacherOutput], values: Params) -> Guess:
    """The shares of the classes in the pool, from the embeddings and scores of its texts, without gold.

    Parameters
    ----------
    outputs : dict
        {teacher: TeacherOutput} of N texts in random order.
    values : Params
        Of the task.

    Returns
    -------
    Guess
        Equal shares where the pool does not tell others, with the reason.
    """
    classes = len(values.task.names)
    encoders = [one.take(slice(TEXTS)) for one in outputs.values() if one.embeddings is not None]
    even = np.full(classes, 1 / classes)
    texts = len(next(iter(outputs.values())).scores)
    if len(encoders) < 2:
        return Guess(even, f"two sentence encoders are needed to tell them, found {len(encoders)}")
    if texts < LEAST_TEXTS:
        return Guess(even, f"{LEAST_TEXTS} texts are needed to tell them, found {texts}")
    if classes > MOST_CLASSES:
        return Guess(even, f"they are looked for with 2 to {MOST_CLASSES} classes, found {classes}")
    tried = candidates(classes)
    judge = _judge_biases if classes == 2 else _judge_agreement
    evidence, why = judge(tried, encoders)
    if why is not None:
        return Guess(even, why)
    weights = np.exp(evidence - evidence.max())
    return Guess(weights @ tried / weights.sum(), None)


def _judge_agreement(tried: np.ndarray, encoders: list[TeacherOutput]) -> tuple[np.ndarray, str | None]:
    """The evidence for each of the shares from the encoders' agreement, and why it does not suffice, or None."""
    views = [(_spread_scores(one), _points(one)) for one in encoders]
    kappas = np.array([agreement_under(prior, views) for prior in tried])
    gain = kappas.max() - kappas[0]
    why = None
    if not np.isfinite(kappas[0]) or not gain > LEAST_GAIN:
        more = f"{max(gain, 0):.2f}" if np.isfinite(gain) else "not"
        why = f"the encoders agree {more} more under any others, {LEAST_GAIN} is needed"
    elif kappas.max() < LEAST_KAPPA:
        why = f"the encoders agree too little (kappa {kappas.max():.2f}, {LEAST_KAPPA} is needed)"
    return SHARPNESS * kappas, why


def _judge_biases(tried: np.ndarray, encoders: list[TeacherOutput]) -> tuple[np.ndarray, str | None]:
    """The same from the biases that the encoders' scores need to reach each of the shares."""
    scores = [_spread_scores(one) for one in encoders]
    evidence = np.array([bias_evidence(prior, scores) for prior in tried])
    gain = evidence.max() - evidence[0]
    if np.isfinite(evidence[0]) and gain > LEAST_BIAS_GAIN:
        return evidence, None
    most = f"{max(gain, 0):.2f}" if np.isfinite(gain) else "none"
    return (
        evidence,
        f"the encoders' cosines are too little evidence of others ({most}, {LEAST_BIAS_GAIN} is needed)",
    )


def candidates(classes: int) -> np.ndarray:
    """The shares to try, each of sum 1: equal ones, then each class in turn TIMES larger than each of the others."""
    larger = [np.where(np.arange(classes) == one, times, 1) for one in range(classes) for times in TIMES]
    tried = np.array([np.ones(classes), *larger], float)
    return tried / tried.sum(1, keepdims=True)


def _spread_scores(output: TeacherOutput) -> np.ndarray:
    """Scores of an encoder, N x K, spread as calibrated ones are."""
    scores = np.asarray(output.scores, np.float64).mean(1)
    scores = scores - scores.mean(1, keepdims=True)
    return SPREAD * scores / max(scores.std(), 1e-9)


def _points(output: TeacherOutput) -> np.ndarray:
    """Its embeddings in their principal directions, N x directions."""
    from sklearn.decomposition import PCA

    embeddings = np.asarray(output.embeddings, np.float64)
    return PCA(min(DIRECTIONS, *embeddings.shape), svd_solver="covariance_eigh").fit_transform(embeddings)


def agreement_under(prior: np.ndarray, views: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean kappa of the encoders' answers under shares (K), refined or not; -inf where they cannot be reached.

    An encoder's own two answers are not compared: they agree whatever the shares.
    """
    answers = []
    try:
        for scores, points in views:
            start = np.exp(log_softmax(scores + match_prior(scores, prior, tolerance=TOLERANCE)))
            *_, refined = fit_gaussians(
                points, start, prior, rounds=ROUNDS, settled=SETTLED, tolerance=TOLERANCE
            )
            answers.append((start.argmax(1), refined.argmax(1)))
    except UserError:
        return -np.inf
    pairs = [
        cohen_kappa(left, right) for one, two in combinations(answers, 2) for left in one for right in two
    ]
    return float(np.mean(pairs))


def bias_evidence(prior: np.ndarray, scores: list[np.ndarray]) -> float:
    """Mean log-probability, up to a constant, of the biases that take each encoder's scores to shares (K).

    Parameters
    ----------
    prior : np.ndarray
        K shares, sum 1.
    scores : list of np.ndarray
        Of each encoder, N x K with the standard deviation SPREAD.

    Returns
    -------
    float
        At most 0; -inf where the shares cannot be reached.
    """
    try:
        biases = [match_prior(one, prior, tolerance=TOLERANCE) for one in scores]
    except UserError:
        return -np.inf
    return -float(np.mean([(bias**2).sum() for bias in biases])) / (2 * (SPREAD / 2) ** 2)


def describe_guess(guess: Guess | None, names: list[str]) -> str | None:
    """A sentence that says how far the shares are known; None where nothing was guessed.

    Parameters
    ----------
    guess : Guess or None
        Of the shares.
    names : list of str
        Of the K classes.

    Returns
    -------
    str or None
        For a line, the forecast and the page.
    """
    if guess is None:
        return None
    if guess.why is not None:
        return (
            f"the shares of the classes are taken as equal: {guess.why}; where you know them, set label.prior"
        )
    order = np.argsort(-guess.shares, kind="stable")[:5]
    shares = ", ".join(f"{names[one]} {guess.shares[one]:.0%}" for one in order)
    return (
        f"the shares of the classes are a guess ({shares}), likelier too even than too uneven; "
        "where you know them, set label.prior"
    )


def resolve_prior(outputs: Mapping[str, TeacherOutput], values: Params) -> tuple[Params, Guess | None]:
    """The parameters with the guessed shares, or uniform, in place of label.prior: auto.

    Parameters
    ----------
    outputs : dict
        See guess_shares.
    values : Params
        Whose label.prior may be auto.

    Returns
    -------
    tuple
        The same with label.prior as shares or uniform, and the Guess, or None where label.prior is not auto.
    """
    label = values.label
    if label.prior != "auto":
        return values, None
    if label.calibration == "none":  # which takes no shares
        return values.model_copy(update={"label": label.model_copy(update={"prior": "uniform"})}), None
    guess = guess_shares(outputs, values)
    prior: str | dict[str, float] = "uniform"
    if guess.why is None:
        prior = dict(zip(values.task.names, map(float, guess.shares), strict=True))
    return values.model_copy(update={"label": label.model_copy(update={"prior": prior})}), guess
