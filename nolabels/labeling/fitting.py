"""Tables of scores as calibrated probabilities: what is fitted on the pool, without labels."""

from dataclasses import dataclass, replace

import numpy as np

from nolabels.core.stage import say
from nolabels.labeling.calibration import (
    agreement_weights,
    fit_mixture,
    log_softmax,
    match_prior,
    pairs,
    reject_threshold,
    sigmoid,
)

FIT_TEXTS = 100_000  # texts that calibration is fitted on; a pool stands in random order


@dataclass(frozen=True)
class Fit:
    """What is taken from the pool: how scores become probabilities.

    weights: T, of the templates, sum 1; temperature and bias: K numbers each; prior: K, the shares of
    the classes; reject: the score that a class must reach for a text to be of any, or None; grouped: whether a
    temperature that was to be found in the pool was found, since the scores fall into groups.

    The weighted mean over the templates is that of log-probabilities, hence a product of experts (Hinton
    2002): one template's certainty counts more there than in a mean of probabilities. What a template
    prefers is a constant of each class, and so is the mean of the templates' constants: one bias takes
    all of them out.
    """

    weights: np.ndarray
    temperature: np.ndarray
    bias: np.ndarray
    prior: np.ndarray
    reject: float | None = None
    grouped: bool = True

    def scores(self, scores):
        """N x T x K raw scores -> N x K calibrated ones."""
        return mean(scores, self.weights) / self.temperature + self.bias

    def probabilities(self, scores, task):
        """N x T x K raw scores -> N x L probabilities of the task's labels."""
        return to_probabilities(self.scores(scores), task, self.reject)


def to_probabilities(scores, task, reject):
    """N x K calibrated scores -> N x L probabilities of the task's labels. reject: see Fit."""
    if task.multi_label:
        return sigmoid(scores)
    if task.reject is not None:
        # "none of these" is a class whose score is the threshold for every text
        scores = np.column_stack([scores, np.full(len(scores), -np.inf if reject is None else reject)])
    return np.exp(log_softmax(scores))


def mean(scores, weights):
    """N x T x K -> N x K, weighted over the templates."""
    return np.einsum("ntk,t->nk", np.asarray(scores, np.float64), weights)


def untouched(scores):
    """The Fit that leaves N x T x K scores as they are."""
    templates, classes = scores.shape[1:]
    even = np.full(classes, 1 / classes)
    return Fit(np.full(templates, 1 / templates), np.ones(classes), np.zeros(classes), even)


def fit(scores, values):
    """The Fit of N x T x K scores of texts in random order; values: params.Params."""
    label, task = values.label, values.task
    scores = np.asarray(scores[:FIT_TEXTS], np.float64)
    found = untouched(scores)
    if isinstance(label.prior, dict):
        found = replace(found, prior=np.array([label.prior[name] for name in task.names]))
    if label.weights == "agreement":
        prior = found.prior / found.prior.sum()  # shares of classes that may come together
        found = replace(found, weights=agreement_weights(scores, prior))
    raw = mean(scores, found.weights)
    if task.multi_label:
        each = [
            fit_class(pair, share, label)
            for pair, share in zip(pairs(raw).swapaxes(0, 1), found.prior, strict=True)
        ]
        temperature, bias = np.array(each).T
    else:
        temperature, bias, prior, grouped = fit_classes(raw, found.prior, label)
        found = replace(found, prior=prior, grouped=grouped)
    found = replace(found, temperature=temperature, bias=bias)
    if task.reject is not None:
        found = replace(found, reject=reject_threshold(found.scores(scores).max(1)))
    return found


def fit_classes(scores, prior, label):
    """Temperature (K times the same), bias (K), prior (K) of N x K scores, and Fit.grouped."""
    temperature, grouped = label.temperature, True
    if label.prior == "estimated" or temperature == "pool":
        mixture = fit_mixture(scores, None if label.prior == "estimated" else prior)
        grouped = mixture is not None
        if not grouped:
            say("warning: the scores do not fall into groups; the temperature stays 1, the prior uniform")
        temperature = (mixture.temperature if mixture else 1.0) if temperature == "pool" else temperature
        prior = mixture.shares if mixture and label.prior == "estimated" else prior
    scores = scores / temperature
    bias = np.zeros(len(prior)) if label.calibration == "none" else match_prior(scores, prior)
    return np.full(len(prior), temperature), bias, prior, grouped


def fit_class(scores, share, label):
    """Temperature and bias of one class against its absence. scores: N x 2; share: in (0, 1)."""
    temperature, bias, *_ = fit_classes(scores, np.array([share, 1 - share]), label)
    return temperature[0], bias[0] - bias[1]
