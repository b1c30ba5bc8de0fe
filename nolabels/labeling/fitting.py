"""Calibration of one teacher: what is fitted on the scores of the pool, without labels."""

from dataclasses import dataclass, replace

import numpy as np

from nolabels.core.params import Label, Params, Task
from nolabels.core.stage import say
from nolabels.labeling.calibration import (
    agreement_weights,
    fit_mixture,
    log_softmax,
    match_prior,
    reject_threshold,
    sigmoid,
)

FIT_TEXTS = 100_000  # most texts that calibration is fitted on; the pool is in random order


@dataclass(frozen=True)
class Fit:
    """How the scores of one teacher become probabilities.

    The weighted mean over the templates is that of log-probabilities, hence a product of experts (Hinton
    2002): the confidence of one template counts more there than in a mean of probabilities. What a template
    prefers is a constant of each class, and so is the mean of the templates' constants: one bias removes all of
    them.

    Attributes
    ----------
    weights : np.ndarray
        T weights of the templates, sum 1.
    temperature, bias : np.ndarray
        K numbers each: the divisor of the scores, and what is added to them.
    prior : np.ndarray
        K shares of the classes, the calibration prior.
    reject : float or None
        The score that a class must reach for a text to have any class.
    grouped : bool
        False where label.temperature is `pool` and the scores form no clusters, so that no temperature is known.
    """

    weights: np.ndarray
    temperature: np.ndarray
    bias: np.ndarray
    prior: np.ndarray
    reject: float | None = None
    grouped: bool = True

    def scores(self, scores: np.ndarray) -> np.ndarray:
        """N x T x K raw scores -> N x K calibrated ones."""
        return _template_mean(scores, self.weights) / self.temperature + self.bias

    def probabilities(self, scores: np.ndarray, task: Task) -> np.ndarray:
        """N x T x K raw scores -> N x L probabilities of the task's labels."""
        return to_probabilities(self.scores(scores), task, self.reject)


def to_probabilities(scores: np.ndarray, task: Task, reject: float | None) -> np.ndarray:
    """The probabilities of the task's labels.

    Parameters
    ----------
    scores : np.ndarray
        N x K calibrated scores.
    task : Task
        With multi_label each class has a probability of its own.
    reject : float or None
        See Fit.

    Returns
    -------
    np.ndarray
        N x L, in 0..1. L is K, or K + 1 with task.reject.
    """
    if task.multi_label:
        return sigmoid(scores)
    if task.reject is not None:
        # "none of these" is a class whose score is the threshold for every text
        scores = np.column_stack([scores, np.full(len(scores), -np.inf if reject is None else reject)])
    return np.exp(log_softmax(scores))


def _template_mean(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """N x T x K -> N x K, weighted over the templates."""
    return np.einsum("ntk,t->nk", np.asarray(scores, np.float64), weights)


def identity_fit(scores: np.ndarray) -> Fit:
    """The Fit that leaves N x T x K scores as they are, with equal weights and a uniform prior."""
    templates, classes = scores.shape[1:]
    even = np.full(classes, 1 / classes)
    return Fit(np.full(templates, 1 / templates), np.ones(classes), np.zeros(classes), even)


def fit(scores: np.ndarray, values: Params) -> Fit:
    """Calibrates scores as `label` in params.yaml asks for.

    Parameters
    ----------
    scores : np.ndarray
        N x T x K raw scores of texts in random order; the first FIT_TEXTS are used.
    values : Params
        Of the task; label.prior must not be auto, see shares.resolve_prior.

    Returns
    -------
    Fit

    Raises
    ------
    UserError
        Where the calibration prior cannot be reached, see match_prior.
    """
    label, task = values.label, values.task
    scores = np.asarray(scores[:FIT_TEXTS], np.float64)
    fitted = identity_fit(scores)
    if isinstance(label.prior, dict):
        fitted = replace(fitted, prior=np.array([label.prior[name] for name in task.names]))
    if label.weights == "agreement":
        prior = fitted.prior / fitted.prior.sum()  # with multi_label the shares may have another sum
        fitted = replace(fitted, weights=agreement_weights(scores, prior))
    raw = _template_mean(scores, fitted.weights)
    if task.multi_label:
        each = [_fit_class(column, share, label) for column, share in zip(raw.T, fitted.prior, strict=True)]
        temperature, bias = np.array(each).T
    else:
        temperature, bias, prior, grouped = _fit_classes(raw, fitted.prior, label)
        fitted = replace(fitted, prior=prior, grouped=grouped)
    fitted = replace(fitted, temperature=temperature, bias=bias)
    if task.reject is not None:
        fitted = replace(fitted, reject=reject_threshold(fitted.scores(scores).max(1)))
    return fitted


def _fit_classes(
    scores: np.ndarray, prior: np.ndarray, label: Label
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Temperature (K times the same), bias (K), prior (K) of N x K scores, and Fit.grouped."""
    temperature, grouped = label.temperature, True
    if label.prior == "estimated" or temperature == "pool":
        mixture = fit_mixture(scores, None if label.prior == "estimated" else prior)
        grouped = mixture is not None
        if not grouped:
            say("warning: the scores form no clusters; the temperature stays 1, the prior uniform")
        temperature = (mixture.temperature if mixture else 1.0) if temperature == "pool" else temperature
        prior = mixture.shares if mixture and label.prior == "estimated" else prior
    scores = scores / temperature
    bias = np.zeros(len(prior)) if label.calibration == "none" else match_prior(scores, prior)
    return np.full(len(prior), temperature), bias, prior, grouped


def _fit_class(odds: np.ndarray, share: float, label: Label) -> tuple[float, float]:
    """Temperature and bias of one class against its absence. odds: N log-odds; share: in (0, 1)."""
    scores = np.stack([odds, np.zeros_like(odds)], -1)
    temperature, bias, *_ = _fit_classes(scores, np.array([share, 1 - share]), label)
    return temperature[0], bias[0] - bias[1]
