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
    combine,
    log_softmax,
    match_prior,
    match_shares,
    own_odds,
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


def shares_wanted(label, names):
    """The class prior as K shares."""
    if label.prior == "uniform":
        return np.full(len(names), 1 / len(names))
    return np.array([label.prior[name] for name in names])


@dataclass(frozen=True)
class Fit:
    """What is taken from the pool: how scores become probabilities.

    biases: T x K, of the templates; weights: T, of the templates, sum 1; bias: K, of their mean;
    reject: the score that a class must reach for a text to be of any, or None.
    """

    biases: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    reject: float | None = None

    def scores(self, scores):
        """N x T x K raw scores -> N x K calibrated ones."""
        return combine(scores, self.biases, self.weights) + self.bias

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


def untouched(scores):
    """The Fit that leaves N x T x K scores as they are."""
    templates, classes = scores.shape[1:]
    return Fit(np.zeros((templates, classes)), np.full(templates, 1 / templates), np.zeros(classes))


def fit(scores, values):
    """The Fit of N x T x K scores; values: params.Params."""
    found = untouched(scores)
    if values.label.calibration == "prior_matching":
        prior = shares_wanted(values.label, values.task.names)
        match = match_shares if values.task.multi_label else match_prior
        found = replace(
            found, biases=np.stack([match(scores[:, index], prior) for index in range(scores.shape[1])])
        )
        found = replace(found, bias=match(found.scores(scores), prior))
    if values.task.reject is not None:
        found = replace(found, reject=reject_threshold(found.scores(scores).max(1)))
    return found


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
        "confidence": {
            "before": float(certainty(pool_raw[train], task).mean()),
            "after": float(confidence[train].mean()),
        },
        # texts that were longer than score.max_tokens: cut, or read in parts, as score.long_text says
        "cut": {"pool": count_long(args.pool_scores), "test": count_long(args.test_scores)},
        "template_weight": {str(number + 1): float(weight) for number, weight in enumerate(fitted.weights)},
    }
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
