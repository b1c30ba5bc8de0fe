"""Says how good teacher and student are likely to be, and whether to believe it, without any gold answer.

usage: python -m stages.forecast data/pool.parquet data/scores data/labeled.parquet \\
           data/teacher_test.parquet data/student_test.parquet metrics/forecast.json
"""

from pathlib import Path

import numpy as np

from nolabels.core import params
from nolabels.core.labels import decide, from_column
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import is_in_split, matrix, read_table, write_json
from nolabels.labeling.agreement import equal_answers, template_agreement
from nolabels.labeling.forecast import (
    TEXTS,
    expected_accuracy,
    interval,
    named_as_another,
    text_agreement,
    warnings,
)
from nolabels.labeling.outputs import Said, read_pool
from nolabels.labeling.panel import fit_panel
from nolabels.labeling.shares import settle, unsure


def calibrated(said, values):
    """Labels (N x K bool) of {name: Said} with the preferences of the teachers taken out."""
    label = values.label.model_copy(update={"calibration": "prior_matching"})
    values = values.model_copy(update={"label": label})
    return decide(fit_panel(said, values).probabilities(said, values.task), values.task)


def of_each_template(said, values):
    """Labels (N x K bool) of each template of each teacher by itself."""
    return [
        calibrated({name: Said(some.scores[:, [number]])}, values)
        for name, some in said.items()
        for number in range(some.scores.shape[1])
    ]


def agreement_of(said, values):
    """Share of texts on which the sentence encoders agree, refined where the labels are; None for fewer than two."""
    if values.task.multi_label:
        return None
    own = fit_panel(said, values).each(said, values.task)
    return equal_answers([own[name].argmax(1) for name, some in said.items() if some.embeddings is not None])


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts"),
        ("scores", "folder of the teachers' scores"),
        ("labeled", "the teacher's labels"),
        ("teacher_test", "the teacher's answers on the test texts"),
        ("student_test", "the student's answers on the test texts"),
        ("metrics", "JSON to write"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task = values.task

    pool, said = read_pool(args.pool, args.scores, values, ["id", "text", "split"])
    train = np.flatnonzero(is_in_split(pool, "train"))[:TEXTS]
    texts = pool["text"].take(train).to_pylist()
    said = {name: some.take(train) for name, some in said.items()}
    values, guess = settle(said, values)  # of all teachers: one alone cannot tell the shares
    labels = from_column(read_table(args.labeled, ["labels"])["labels"], task.labels)[train]

    agreed = agreement_of(said, values)
    metrics = {"source": "confidence" if agreed is None else "agreement"}
    for who, path in (("teacher", args.teacher_test), ("student", args.student_test)):
        sure = expected_accuracy(matrix(read_table(path, ["probabilities"])["probabilities"]), task)
        found = interval(sure if agreed is None else agreed)
        metrics[who] = dict(zip(("expected", "expected_low", "expected_high"), found, strict=True))
    templates = template_agreement(of_each_template(said, values))
    together = text_agreement(texts, labels, task)
    moved = 0.0
    if values.label.calibration == "none":
        moved = float((calibrated(said, values) != labels).any(1).mean())
    told = warnings(templates, together, moved, named_as_another(task), agreed, len(task.names))
    if templates is not None:
        metrics["template_agreement"] = templates
    metrics |= {"text_agreement": together, "moved_by_calibration": moved, "trusted": not told}
    metrics["warnings"] = "; ".join(told)
    metrics["unsure"] = unsure(guess, task.names) or ""
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
    if metrics["unsure"]:
        say(f"forecast: warning: {metrics['unsure']}")


if __name__ == "__main__":
    run(main)
