"""Turns the teacher's scores into calibrated probabilities and labels. Reads no gold, loads no model.

Calibration is fitted on the pool's train split and applied unchanged to its valid split and the test.

usage: python -m stages.label data/pool.parquet data/scores/0/pool.parquet data/scores/0/test.parquet \\
           data/labeled.parquet data/teacher_test.parquet metrics/label.json
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import params
from nolabels.calibration import combine, log_softmax, match_prior
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


def read_scores(path):
    """ids (N) and raw scores (N x T x K) of a table of scores."""
    table = read_table(path, ["id", "template", "score"])
    templates = int(table["template"].to_numpy().max()) + 1
    scores = matrix(table["score"])
    return table["id"].to_pylist()[::templates], scores.reshape(-1, templates, scores.shape[1])


def count_long(path):
    """How many texts of a table of scores were longer than one reading (cut, or read in parts)."""
    table = read_table(path, ["id", "cut"])
    return len(table.filter(table["cut"])["id"].unique())


def shares_wanted(label, names):
    """The class prior as K shares."""
    if label.prior == "uniform":
        return np.full(len(names), 1 / len(names))
    return np.array([label.prior[name] for name in names])


def fit(scores, label, names):
    """Biases of the templates (T x K), their weights (T) and the bias of their mean (K)."""
    templates, classes = scores.shape[1:]
    weights = np.full(templates, 1 / templates)
    if label.calibration == "none":
        return np.zeros((templates, classes)), weights, np.zeros(classes)
    prior = shares_wanted(label, names)
    biases = np.stack([match_prior(scores[:, index], prior) for index in range(templates)])
    return biases, weights, match_prior(combine(scores, biases, weights), prior)


def probabilities(scores, biases, weights, bias):
    """N x T x K scores -> N x K probabilities."""
    return np.exp(log_softmax(combine(scores, biases, weights) + bias))


def names_of(answers, names):
    """N class indices -> a column of lists of one class name."""
    return pa.array([[names[answer]] for answer in answers], pa.list_(pa.string()))


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
    names = values.task.names

    pool = read_table(args.pool, ["id", "split"])
    split = np.array(pool["split"].to_pylist())
    ids, scores = read_scores(args.pool_scores)
    test_ids, test_scores = read_scores(args.test_scores)
    if ids != pool["id"].to_pylist() or scores.shape[2] != len(names):
        raise UserError(
            f"{args.pool_scores}: must hold scores of {args.pool} for {len(names)} classes; run dvc repro"
        )

    fitted = fit(scores[split == "train"], values.label, names)
    plain = np.zeros_like(fitted[0]), fitted[1], np.zeros(len(names))
    pool_p, test_p = probabilities(scores, *fitted), probabilities(test_scores, *fitted)
    pool_raw, test_raw = probabilities(scores, *plain), probabilities(test_scores, *plain)
    answers, confidence = pool_p.argmax(1), pool_p.max(1)

    model = about(args.pool_scores)["model"]
    schema = labeled_schema(len(names))
    columns = {
        "id": pool["id"],
        "split": pool["split"],
        "probabilities": fixed(rounded(pool_p), np.float32),
        "labels": names_of(answers, names),
        "confidence": pa.array(rounded(confidence)),
    }
    write_table(args.labeled, pa.table(columns, schema=schema), classes=names)
    columns = {
        "id": pa.array(test_ids),
        "probabilities": fixed(rounded(test_p), np.float32),
        "labels": names_of(test_p.argmax(1), names),
        "raw_labels": names_of(test_raw.argmax(1), names),
    }
    schema = predictions_schema(len(names), raw=True)
    write_table(args.teacher_test, pa.table(columns, schema=schema), classes=names, model=model)
    train = split == "train"
    before, after = shares(pool_raw[train].argmax(1), names), shares(answers[train], names)
    write_json(
        args.metrics,
        {
            "shares": {"before": before, "after": after},
            "confidence": {
                "before": float(pool_raw[train].max(1).mean()),
                "after": float(confidence[train].mean()),
            },
            # texts that were longer than score.max_tokens: cut, or read in parts, as score.long_text says
            "cut": {"pool": count_long(args.pool_scores), "test": count_long(args.test_scores)},
            "template_weight": {str(number + 1): float(weight) for number, weight in enumerate(fitted[1])},
        },
    )
    say(f"label: {len(ids)} texts; shares before calibration {told(before)}; after {told(after)}")


def told(found):
    return ", ".join(f"{name} {share:.1%}" for name, share in list(found.items())[:5])


if __name__ == "__main__":
    run(main)
