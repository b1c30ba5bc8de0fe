"""Turns the teacher's scores into calibrated probabilities and labels. Reads no gold, loads no model.

Calibration is fitted on the pool's train split and applied unchanged to its valid split and the test.

usage: python -m stages.label data/pool.parquet data/scores/0/pool.parquet data/scores/0/test.parquet \\
           data/labeled.parquet data/teacher_test.parquet metrics/label.json
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import params
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
from nolabels.labels import certainty, decide, to_column
from nolabels.stage import UserError, arguments, run, say
from nolabels.statistics import shares
from nolabels.tables import (
    about,
    fixed,
    labeled_schema,
    matrix,
    predictions_schema,
    read_table,
    rounded,
    write_json,
    write_table,
)

FIT_TEXTS = 100_000  # texts that calibration is fitted on; a pool stands in random order


def read_scores(path, task):
    """ids (N) and scores (N x T x K) of a table of scores; with several labels per text, log-odds."""
    table = read_table(path, ["id", "template", "score"] + (["against"] if task.multi_label else []))
    templates = int(table["template"].to_numpy().max()) + 1
    scores = matrix(table["score"])
    shape = (-1, templates, scores.shape[1])
    scores = scores.reshape(shape)
    if task.multi_label:
        against = table["against"]
        known = against.null_count == 0
        scores = own_odds(scores, matrix(against).reshape(shape) if known else None)
    return table["id"].to_pylist()[::templates], scores


def count_long(path):
    """How many texts of a table of scores were longer than one reading (cut, or read in parts)."""
    table = read_table(path, ["id", "cut"])
    return len(table.filter(table["cut"])["id"].unique())


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
            say(
                "label: warning: the scores do not fall into groups; the temperature stays 1, the prior uniform"
            )
        temperature = (mixture.temperature if mixture else 1.0) if temperature == "pool" else temperature
        prior = mixture.shares if mixture and label.prior == "estimated" else prior
    scores = scores / temperature
    bias = np.zeros(len(prior)) if label.calibration == "none" else match_prior(scores, prior)
    return np.full(len(prior), temperature), bias, prior


def fit_class(scores, share, label):
    """Temperature and bias of one class against its absence. scores: N x 2; share: in (0, 1)."""
    temperature, bias, _ = fit_classes(scores, np.array([share, 1 - share]), label)
    return temperature[0], bias[0] - bias[1]


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts, for their split"),
        ("pool_scores", "the teacher's scores of the pool"),
        ("test_scores", "the teacher's scores of the test texts"),
        ("labeled", "table to write: labeled pool"),
        ("teacher_test", "table to write: the teacher's answers on the test texts"),
        ("metrics", "JSON to write"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task, names = values.task, values.task.labels

    pool = read_table(args.pool, ["id", "split"])
    split = np.array(pool["split"].to_pylist())
    ids, scores = read_scores(args.pool_scores, task)
    test_ids, test_scores = read_scores(args.test_scores, task)
    if ids != pool["id"].to_pylist() or scores.shape[2] != len(task.names):
        raise UserError(
            f"{args.pool_scores}: must hold scores of {args.pool} for {len(task.names)} classes; run dvc repro"
        )

    fitted = fit(scores[split == "train"], values)
    plain = replace(untouched(scores), reject=fitted.reject)
    pool_p, test_p = (fitted.probabilities(given, task) for given in (scores, test_scores))
    pool_raw, test_raw = (plain.probabilities(given, task) for given in (scores, test_scores))
    answers, confidence = decide(pool_p, task), certainty(pool_p, task)

    model = about(args.pool_scores)["model"]
    schema = labeled_schema(len(names))
    columns = {
        "id": pool["id"],
        "split": pool["split"],
        "probabilities": fixed(rounded(pool_p), np.float32),
        "labels": to_column(answers, names),
        "confidence": pa.array(rounded(confidence)),
    }
    write_table(args.labeled, pa.table(columns, schema=schema), classes=names)
    columns = {
        "id": pa.array(test_ids),
        "probabilities": fixed(rounded(test_p), np.float32),
        "labels": to_column(decide(test_p, task), names),
        "raw_labels": to_column(decide(test_raw, task), names),
    }
    schema = predictions_schema(len(names), raw=True)
    write_table(args.teacher_test, pa.table(columns, schema=schema), classes=names, model=model)
    train = split == "train"
    before, after = shares(decide(pool_raw[train], task), names), shares(answers[train], names)
    metrics = {
        "shares": {"before": before, "after": after},
        "temperature": float(fitted.temperature.mean()),
        "confidence": {
            "before": float(certainty(pool_raw[train], task).mean()),
            "after": float(confidence[train].mean()),
        },
        # texts that were longer than score.max_tokens: cut, or read in parts, as score.long_text says
        "cut": {"pool": count_long(args.pool_scores), "test": count_long(args.test_scores)},
        "template_weight": {str(number + 1): float(weight) for number, weight in enumerate(fitted.weights)},
    }
    if values.label.prior == "estimated" and not task.multi_label:
        metrics["prior"] = dict(zip(task.names, map(float, fitted.prior), strict=True))
    if task.reject is not None:
        metrics["reject"] = {"share": after[task.reject]}
        if fitted.reject is None:
            say("label: the pool's scores are not of two groups: no text is taken for none of the classes")
        else:
            metrics["reject"]["threshold"] = fitted.reject
    write_json(args.metrics, metrics)
    say(f"label: {len(ids)} texts; shares before calibration {told(before)}; after {told(after)}")


def told(found):
    return ", ".join(f"{name} {share:.1%}" for name, share in list(found.items())[:5])


if __name__ == "__main__":
    run(main)
