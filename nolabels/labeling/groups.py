"""Clusters of embeddings: what a sentence encoder knows of the classes beyond their verbalizers.

Texts of one class lie together. One Gaussian for each class, all with one covariance, is fitted to the embeddings of
the pool, begun with the encoder's calibrated answers (SimPTC: Fei et al. 2022, "Beyond Prompting: Making Pre-trained
Language Models Better Zero-shot Learners by Clustering Representations"). No labels are needed. It gained up to
10 points on the eight tasks of benchmarks/tasks.md and lost up to 7, so `refining` decides whether to use it.
"""

from dataclasses import dataclass

import numpy as np

from nolabels.labeling.calibration import log_softmax, match_prior

# of the embeddings, the first principal ones; SimPTC takes as many as explain most of the variance
DIRECTIONS = 64
# share of the mean variance that is added to each direction, so that few texts have a covariance
SHRINKAGE = 1e-3
ROUNDS = 50


@dataclass(frozen=True)
class Groups:
    """Log-posteriors of Gaussians with one covariance are linear: weights D x K, bias K."""

    weights: np.ndarray
    bias: np.ndarray

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """N x D embeddings -> N x K scores, before calibration."""
        return np.asarray(embeddings, np.float64) @ self.weights + self.bias


def fit_gaussians(
    points: np.ndarray,
    probabilities: np.ndarray,
    prior: np.ndarray,
    *,
    rounds: int = ROUNDS,
    settled: float = 1e-3,
    tolerance: float = 1e-5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One Gaussian for each class, all with one covariance, by expectation maximization with the shares held.

    Parameters
    ----------
    points, probabilities, prior : numpy.ndarray
        N x D with the mean 0; N x K to begin with; K shares of the classes, sum 1.
    rounds, settled, tolerance : int, float, float
        It ends after so many rounds, or where no probability moves further; the last is that of match_prior.

    Returns
    -------
    tuple of numpy.ndarray
        Slopes (D x K) and bias (K) of the log-posteriors, and the probabilities (N x K).

    Raises
    ------
    UserError
        Where a cluster is left without texts.
    """
    current = np.asarray(probabilities, np.float64)
    second = points.T @ points / len(points)
    ridge = SHRINKAGE * np.trace(second) / len(second) * np.eye(len(second))
    shift = np.zeros(len(prior))
    for _ in range(rounds):
        sizes = current.sum(0)
        means = current.T @ points / sizes[:, None]
        within = second - (means.T * (sizes / len(points))) @ means + ridge
        slopes = np.linalg.solve(within, means.T)
        constant = -0.5 * (means * slopes.T).sum(1)
        scores = points @ slopes + constant
        shift = match_prior(scores, prior, shift, tolerance=tolerance)
        last, current = current, np.exp(log_softmax(scores + shift))
        if np.abs(current - last).max() < settled:
            break
    return slopes, constant + shift, current


def fit_groups(
    embeddings: np.ndarray, probabilities: np.ndarray, prior: np.ndarray, rounds: int = ROUNDS
) -> Groups:
    """Fits one Gaussian for each class to embeddings, with the shares held at the calibration prior.

    Parameters
    ----------
    embeddings : np.ndarray
        N x D.
    probabilities : np.ndarray
        N x K calibrated probabilities to begin with.
    prior : np.ndarray
        K shares of the classes, sum 1.
    rounds : int
        Of expectation maximization; one is a linear discriminant analysis of the probabilities.

    Returns
    -------
    Groups

    Raises
    ------
    UserError
        Where a cluster is left without texts.
    """
    embeddings = np.asarray(embeddings, np.float64)
    center = embeddings.mean(0)
    _, _, axes = np.linalg.svd(embeddings - center, full_matrices=False)
    axes = axes[:DIRECTIONS].T
    slopes, bias, _ = fit_gaussians((embeddings - center) @ axes, probabilities, prior, rounds=rounds)
    weights = axes @ slopes
    return Groups(weights, bias - center @ weights)
