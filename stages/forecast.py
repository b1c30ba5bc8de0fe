"""Forecasts the accuracy of teacher and student, and whether to trust it, without any gold answer.

usage: python -m stages.forecast data/pool.parquet data/scores data/labeled.parquet \\
           data/teacher_test.parquet data/student_test.parquet metrics/forecast.json
"""

import numpy as np

from nolabels.core import params
from nolabels.core.labels import from_column
from nolabels.core.stage import path_arguments, run, say
from nolabels.core.tables import is_in_split, matrix, read_table, write_json
from nolabels.labeling.forecast import TEXTS
from nolabels.labeling.forecast_metrics import forecast_lines, forecast_metrics
from nolabels.labeling.outputs import read_pool, take_texts

PATHS = {
    "pool": "pool texts",
    "scores": "folder of the teachers' scores",
    "labeled": "the teacher's labels",
    "teacher_test": "the teacher's answers on the test texts",
    "student_test": "the student's answers on the test texts",
    "metrics": "JSON to write",
}


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    values = params.load()
    pool, outputs = read_pool(args.pool, args.scores, values, ["id", "text", "split"])
    train = np.flatnonzero(is_in_split(pool, "train"))[:TEXTS]
    texts = pool["text"].take(train).to_pylist()
    labels = from_column(read_table(args.labeled, ["labels"])["labels"], values.task.labels)[train]
    probabilities = {
        model: matrix(read_table(path, ["probabilities"])["probabilities"])
        for model, path in (("teacher", args.teacher_test), ("student", args.student_test))
    }
    metrics, reasons = forecast_metrics(take_texts(outputs, train), texts, labels, probabilities, values)
    write_json(args.metrics, metrics)
    for line in forecast_lines(metrics, reasons):
        say(line)


if __name__ == "__main__":
    run(main)
