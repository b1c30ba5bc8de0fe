"""Tables of scores as calibrated probabilities: what is fitted on the pool, without labels."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet as pq

from nolabels.core.stage import UserError, say
from nolabels.core.tables import about, matrix, read_table
from nolabels.labeling.calibration import (
    agreement_weights,
    fit_mixture,
    log_softmax,
    match_prior,
    own_odds,
    pairs,
    reject_threshold,
    sigmoid,
)

FIT_TEXTS = 100_000  # texts that calibration is fitted on; a pool stands in random order


@dataclass(frozen=True)
class Said:
    """What one teacher said about N texts: scores (N x T x K), and embeddings (N x D float32, or None)."""

    scores: np.ndarray
    embeddings: np.ndarray | None = None

    def take(self, rows):
        """Of some of the texts. rows: indices, a mask or a slice."""
        kept = None if self.embeddings is None else self.embeddings[rows]
        return Said(self.scores[rows], kept)


def read_said(path, task):
    """ids (a column of N) and what a teacher said, from its table of scores."""
    ids, scores = read_scores(path, task)
    if "embedding" not in pq.read_schema(path).names:
        return ids, Said(scores)
    column = read_table(path, ["embedding"])["embedding"].combine_chunks().drop_null()
    width = column.type.byte_width // 2
    flat = np.frombuffer(b"".join(column.to_pylist()), np.float16)
    return ids, Said(scores, flat.reshape(-1, width).astype(np.float32))


def read_teachers(folder, part, values):
    """ids (a column of N) and {name: Said} of every teacher of params.yaml about a part: pool, dev or test.

    folder: holds NAME/PART.parquet. Raises UserError where the tables are not about the same texts and classes.
    """
    found, first = {}, None
    for name in values.score:
        path = folder / name / f"{part}.parquet"
        ids, found[name] = read_said(path, values.task)
        first = ids if first is None else first
        if not ids.equals(first) or found[name].scores.shape[2] != len(values.task.names):
            raise UserError(
                f"{path}: must hold scores of the texts of the other teachers, for {len(values.task.names)} classes; "
                "run dvc repro"
            )
    return first, found


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


def read_pool(pool, folder, values, columns):
    """The columns of the pool's table, id among them, and {name: Said} of its teachers (see read_teachers).

    Raises UserError where the scores are not those of the pool's texts and the task's classes.
    """
    table = read_table(pool, columns)
    ids, said = read_teachers(folder, "pool", values)
    if not ids.equals(table["id"]):
        raise UserError(f"{folder}: must hold scores of {pool}; run dvc repro")
    return table, said


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
