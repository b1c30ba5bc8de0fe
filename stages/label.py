"""Turns the teacher's scores into calibrated probabilities and labels. Reads no gold, loads no model.

Calibration is fitted on the pool's train split and applied unchanged to its valid split, to dev and to test.

usage: python -m stages.label data/pool.parquet data/scores/pool.parquet data/scores/dev.parquet \\
           data/scores/test.parquet data/labeled.parquet data/teacher_dev.parquet data/teacher_test.parquet \\
           metrics/label.json
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import models, params
from nolabels.fitting import fit, read_pool, read_scores, untouched
from nolabels.labels import certainty, decide, to_column
from nolabels.stage import arguments, run, say
from nolabels.statistics import shares
from nolabels.tables import (
    about,
    fixed,
    is_in_split,
    labeled_schema,
    read_table,
    rounded,
    write_json,
    write_predictions,
    write_table,
)


def count_long(path):
    """How many texts of a table of scores were longer than one reading (cut, or read in parts)."""
    table = read_table(path, ["id", "cut"])
    return len(table.filter(table["cut"])["id"].unique())


def tell_precision(made, values):
    """A line where scores are not in the arithmetic that `auto` means here, as they may be from DVC's cache.

    made: {part: precision}. `score.precision` and the device are read for this line alone and change no result.
    """
    if values.score.kind == "endpoint" or values.score.precision != "auto":
        return
    here = models.pick_precision("auto", models.pick_device(values.runtime.device))
    others = [f"{part} ({precision})" for part, precision in made.items() if precision != here]
    if others:
        say(
            f"label: note: this machine would ask in {here}, and takes over scores made in another precision: "
            f"{', '.join(others)}"
        )


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts, for their split"),
        ("pool_scores", "the teacher's scores of the pool"),
        ("dev_scores", "its scores of the dev texts"),
        ("test_scores", "its scores of the test texts"),
        ("labeled", "table to write: labeled pool"),
        ("teacher_dev", "table to write: the teacher's answers on the dev texts"),
        ("teacher_test", "table to write: the teacher's answers on the test texts"),
        ("metrics", "JSON to write"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task, names = values.task, values.task.labels

    pool, scores = read_pool(args.pool, args.pool_scores, task, ["id", "split"])
    train = is_in_split(pool, "train")

    fitted = fit(scores[train], values)
    plain = replace(untouched(scores), reject=fitted.reject)
    pool_p, pool_raw = fitted.probabilities(scores, task), plain.probabilities(scores, task)
    answers, confidence = decide(pool_p, task), certainty(pool_p, task)

    model = about(args.pool_scores)["model"]
    parts = ("pool", "dev", "test")
    tell_precision(
        {part: about(getattr(args, f"{part}_scores"))["model"]["precision"] for part in parts}, values
    )
    schema = labeled_schema(len(names))
    columns = {
        "id": pool["id"],
        "split": pool["split"],
        "probabilities": fixed(rounded(pool_p), np.float32),
        "labels": to_column(answers, names),
        "confidence": pa.array(rounded(confidence)),
    }
    write_table(args.labeled, pa.table(columns, schema=schema), classes=names)
    for part in ("dev", "test"):
        ids, found = read_scores(getattr(args, f"{part}_scores"), task)
        given, raw = fitted.probabilities(found, task), plain.probabilities(found, task)
        write_predictions(
            getattr(args, f"teacher_{part}"),
            ids,
            given,
            to_column(decide(given, task), names),
            names,
            raw_labels=to_column(decide(raw, task), names),
            model=model,
        )
    before, after = shares(decide(pool_raw[train], task), names), shares(answers[train], names)
    metrics = {
        "shares": {"before": before, "after": after},
        "precision": model["precision"],  # of the arithmetic in which the pool was read
        "temperature": float(fitted.temperature.mean()),
        "confidence": {
            "before": float(certainty(pool_raw[train], task).mean()),
            "after": float(confidence[train].mean()),
        },
        # texts that were longer than score.max_tokens: cut, or read in parts, as score.long_text says
        "cut": {part: count_long(getattr(args, f"{part}_scores")) for part in parts},
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
    say(f"label: {len(pool)} texts; shares before calibration {told(before)}; after {told(after)}")


def told(found):
    return ", ".join(f"{name} {share:.1%}" for name, share in list(found.items())[:5])


if __name__ == "__main__":
    run(main)
