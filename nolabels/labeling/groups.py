"""Groups of embeddings: what a sentence encoder knows of the classes beyond the words for them.

Texts of one class lie together. One Gaussian for each class, all with one covariance, is fitted to the embeddings of
the pool, begun with the encoder's calibrated answers (SimPTC: Fei et al. 2022, "Beyond Prompting: Making Pre-trained
Language Models Better Zero-shot Learners by Clustering Representations"). No labels are needed. It gained up to
10 points on the eight tasks of benchmarks/tasks.md and lost up to 5, so `panel` judges whether it helps.
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

    def scores(self, embeddings):
        """N x D embeddings -> N x K scores, before calibration."""
        return np.asarray(embeddings, np.float64) @ self.weights + self.bias


def find_groups(embeddings, probabilities, prior):
    """The Groups of N x D embeddings, begun with N x K probabilities; prior: K shares of the classes, sum 1.

    Expectation maximization with the shares held at the prior. Raises UserError where a group comes to nothing.
    """
    embeddings = np.asarray(embeddings, np.float64)
    center = embeddings.mean(0)
    _, _, axes = np.linalg.svd(embeddings - center, full_matrices=False)
    axes = axes[:DIRECTIONS].T
    points, found = (embeddings - center) @ axes, np.asarray(probabilities, np.float64)
    second = points.T @ points / len(points)
    ridge = SHRINKAGE * np.trace(second) / len(second) * np.eye(len(second))
    shift = np.zeros(len(prior))
    for _ in range(ROUNDS):
        sizes = found.sum(0)
        means = found.T @ points / sizes[:, None]
        within = second - (means.T * (sizes / len(points))) @ means + ridge
        slopes = np.linalg.solve(within, means.T)
        constant = -0.5 * (means * slopes.T).sum(1)
        scores = points @ slopes + constant
        shift = match_prior(scores, prior, shift)
        last, found = found, np.exp(log_softmax(scores + shift))
        if np.abs(found - last).max() < 1e-3:
            break
    weights = axes @ slopes
    return Groups(weights, constant + shift - center @ weights)
