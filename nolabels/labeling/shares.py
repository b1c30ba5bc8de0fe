"""The calibration prior of label.prior: auto, a guess of the shares of the classes in the pool.

The scores of one teacher do not tell the shares: a preference of the teacher and a large class look the same. Two
different encoders tell them in part. Each is calibrated to candidate shares, with its answers refined by clusters and
without. Under wrong shares an encoder cuts the large class in two in its own way, and the encoders agree less beyond
chance (Cohen's kappa). So kappa is measured under equal shares, and with each class in turn as the larger one. Where no
candidate gives clearly more than equal shares, or all give little, the shares are taken as equal. Else they are the mean of all candidates,
weighted by exp(SHARPNESS x kappa), which errs on the even side. benchmarks/tasks.md holds the gain.
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
# fewer texts say too little; with two classes the encoders share their mistakes; more classes take minutes
LEAST_TEXTS, LEAST_CLASSES, MOST_CLASSES = 200, 3, 20
TIMES = (2, 4, 8, 16, 32)  # so much larger than each of the others is the class in question
# Chosen on the eight tasks of benchmarks/tasks.md: kappa that uneven shares must gain, and how sharply it is weighted.
LEAST_GAIN, SHARPNESS = 0.05, 40
LEAST_KAPPA = 0.4  # where "moderate" agreement begins (Landis and Koch 1977): less has too little to tell
# standard deviation, in log-odds, of the scores that clusters begin with: that of calibrated encoders
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
    gain : float or None
        The kappa that the best candidate gains over equal shares; None where nothing was measured.
    """

    shares: np.ndarray
    why: str | None
    gain: float | None = None


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
    if not LEAST_CLASSES <= classes <= MOST_CLASSES:
        return Guess(
            even, f"they are looked for with {LEAST_CLASSES} to {MOST_CLASSES} classes, found {classes}"
        )
    tried = candidates(classes)
    views = [_scores_and_points(one) for one in encoders]
    kappas = np.array([agreement_under(prior, views) for prior in tried])
    gain = float(kappas.max() - kappas[0])
    if not np.isfinite(kappas[0]) or not gain > LEAST_GAIN:
        more = f"{max(gain, 0):.2f}" if np.isfinite(gain) else "not"
        return Guess(even, f"the encoders agree {more} more under any others, {LEAST_GAIN} is needed", gain)
    if kappas.max() < LEAST_KAPPA:
        best = f"{kappas.max():.2f}"
        return Guess(even, f"the encoders agree too little (kappa {best}, {LEAST_KAPPA} is needed)", gain)
    weights = np.exp(SHARPNESS * (kappas - kappas.max()))
    return Guess(weights @ tried / weights.sum(), None, gain)


def candidates(classes: int) -> np.ndarray:
    """The shares to try, each of sum 1: equal ones, then each class in turn TIMES larger than each of the others."""
    larger = [np.where(np.arange(classes) == one, times, 1) for one in range(classes) for times in TIMES]
    tried = np.array([np.ones(classes), *larger], float)
    return tried / tried.sum(1, keepdims=True)


def _scores_and_points(output: TeacherOutput) -> tuple[np.ndarray, np.ndarray]:
    """Scores of an encoder (N x K, spread as calibrated ones are), and its points (N x directions)."""
    from sklearn.decomposition import PCA

    scores = np.asarray(output.scores, np.float64).mean(1)
    scores = scores - scores.mean(1, keepdims=True)
    embeddings = np.asarray(output.embeddings, np.float64)
    axes = PCA(min(DIRECTIONS, *embeddings.shape), svd_solver="covariance_eigh")
    return SPREAD * scores / max(scores.std(), 1e-9), axes.fit_transform(embeddings)


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
