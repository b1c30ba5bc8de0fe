"""Tables of scores as calibrated probabilities: what is fitted on the pool, without labels."""

from dataclasses import dataclass, replace

import numpy as np

from nolabels.calibration import (
    agreement_weights,
    fit_mixture,
    log_softmax,
    match_prior,
    own_odds,
    pairs,
    reject_threshold,
    sigmoid,
)
from nolabels.stage import UserError, say
from nolabels.tables import about, matrix, read_table

FIT_TEXTS = 100_000  # texts that calibration is fitted on; a pool stands in random order


def read_scores(path, task):
    """ids (a column of N) and scores (N x T x K) of a table of scores; with several labels per text, log-odds."""
    table = read_table(path, ["id", "template", "score"] + (["against"] if task.multi_label else []))
    templates = len(about(table)["templates"])
    scores = matrix(table["score"])
    shape = (-1, templates, scores.shape[1])
    scores = scores.reshape(shape)
    if task.multi_label:
        against = table["against"]
        known = against.null_count == 0
        scores = own_odds(scores, matrix(against).reshape(shape) if known else None)
    return table["id"].take(np.arange(0, len(table), templates)), scores


def read_pool(pool, pool_scores, task, columns):
    """The columns of the pool's table, id among them, and its scores (N x T x K), from two files.

    Raises UserError where the scores are not those of the pool's texts and the task's classes.
    """
    table = read_table(pool, columns)
    ids, scores = read_scores(pool_scores, task)
    if not ids.equals(table["id"]) or scores.shape[2] != len(task.names):
        raise UserError(
            f"{pool_scores}: must hold scores of {pool} for {len(task.names)} classes; run dvc repro"
        )
    return table, scores


@dataclass(frozen=True)
class Fit:
    """What is taken from the pool: how scores become probabilities.

    weights: T, of the templates, sum 1; temperature and bias: K numbers each; prior: K, the shares of
    the classes; reject: the score that a class must reach for a text to be of any, or None.

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

    def scores(self, scores):
        """N x T x K raw scores -> N x K calibrated ones."""
        return mean(scores, self.weights) / self.temperature + self.bias

    def probabilities(self, scores, task):
        """N x T x K raw scores -> N x L probabilities of the task's labels."""
        found = self.scores(scores)
        if task.multi_label:
            return sigmoid(found)
        if task.reject is not None:
            # "none of these" is a class whose score is the threshold for every text
            none = -np.inf if self.reject is None else self.reject
            found = np.column_stack([found, np.full(len(found), none)])
        return np.exp(log_softmax(found))


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
        temperature, bias, prior = fit_classes(raw, found.prior, label)
        found = replace(found, prior=prior)
    found = replace(found, temperature=temperature, bias=bias)
    if task.reject is not None:
        found = replace(found, reject=reject_threshold(found.scores(scores).max(1)))
    return found


def fit_classes(scores, prior, label):
    """Temperature (K times the same), bias (K) and prior (K) of N x K scores."""
    temperature = label.temperature
    if label.prior == "estimated" or temperature == "pool":
        mixture = fit_mixture(scores, None if label.prior == "estimated" else prior)
        if mixture is None:
            say("warning: the scores do not fall into groups; the temperature stays 1, the prior uniform")
        temperature = (mixture.temperature if mixture else 1.0) if temperature == "pool" else temperature
        prior = mixture.shares if mixture and label.prior == "estimated" else prior
    scores = scores / temperature
    bias = np.zeros(len(prior)) if label.calibration == "none" else match_prior(scores, prior)
    return np.full(len(prior), temperature), bias, prior


def fit_class(scores, share, label):
    """Temperature and bias of one class against its absence. scores: N x 2; share: in (0, 1)."""
    temperature, bias, _ = fit_classes(scores, np.array([share, 1 - share]), label)
    return temperature[0], bias[0] - bias[1]
