"""Says how good teacher and student are likely to be, and whether to believe it, without any gold answer.

usage: python -m stages.forecast data/pool.parquet data/scores/pool.parquet data/labeled.parquet \\
           data/teacher_test.parquet data/student_test.parquet metrics/forecast.json
"""

from pathlib import Path

import numpy as np

from nolabels import params
from nolabels.fitting import fit, read_pool
from nolabels.forecast import (
    TEXTS,
    expected_accuracy,
    named_as_another,
    template_agreement,
    text_agreement,
    warnings,
)
from nolabels.labels import decide, from_column
from nolabels.stage import arguments, run, say
from nolabels.tables import is_in_split, matrix, read_table, write_json


def calibrated(scores, values):
    """Labels (N x K bool) of N x T x K scores with the preference of the teacher taken out."""
    label = values.label.model_copy(update={"calibration": "prior_matching"})
    values = values.model_copy(update={"label": label})
    return decide(fit(scores, values).probabilities(scores, values.task), values.task)


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts"),
        ("pool_scores", "the teacher's scores of the pool"),
        ("labeled", "the teacher's labels"),
        ("teacher_test", "the teacher's answers on the test texts"),
        ("student_test", "the student's answers on the test texts"),
        ("metrics", "JSON to write"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task = values.task

    pool, scores = read_pool(args.pool, args.pool_scores, task, ["id", "text", "split"])
    train = np.flatnonzero(is_in_split(pool, "train"))[:TEXTS]
    texts = pool["text"].take(train).to_pylist()
    scores = scores[train]
    labels = from_column(read_table(args.labeled, ["labels"])["labels"], task.labels)[train]

    metrics = {}
    for who, path in (("teacher", args.teacher_test), ("student", args.student_test)):
        found = expected_accuracy(matrix(read_table(path, ["probabilities"])["probabilities"]), task)
        metrics[who] = dict(zip(("expected", "expected_low", "expected_high"), found, strict=True))
    each = [calibrated(scores[:, [number]], values) for number in range(scores.shape[1])]
    templates = template_agreement(each)
    together = text_agreement(texts, labels, task)
    moved = 0.0
    if values.label.calibration == "none":
        moved = float((calibrated(scores, values) != labels).any(1).mean())
    told = warnings(templates, together, moved, named_as_another(task))
    if templates is not None:
        metrics["template_agreement"] = templates
    metrics |= {"text_agreement": together, "moved_by_calibration": moved, "trusted": not told}
    metrics["warnings"] = "; ".join(told)
    write_json(args.metrics, metrics)
    say(
        "forecast, without gold: "
        + ", ".join(
            "{} {expected:.3f} ({expected_low:.3f} to {expected_high:.3f})".format(who, **metrics[who])
            for who in ("teacher", "student")
        )
    )
    for line in told:
        say(f"forecast: warning: not to be trusted: {line}")


if __name__ == "__main__":
    run(main)
