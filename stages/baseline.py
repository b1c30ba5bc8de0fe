"""Trains a classical model on the same labels: TF-IDF and logistic regression of scikit-learn.

usage: python -m stages.baseline data/teacher_train.parquet data/dev.parquet data/test.parquet \\
           data/baseline_dev.parquet data/baseline_test.parquet
"""

import numpy as np
import pyarrow.compute as pc

from nolabels.core import params
from nolabels.core.labels import decide, from_column, to_column
from nolabels.core.stage import path_arguments, run, say
from nolabels.core.tables import read_table, write_predictions
from nolabels.labeling.tfidf import fit_predict

TEXTS = 100_000  # at most so many are learned from; a pool stands in random order

PATHS = {
    "table": "what to learn from",
    "dev": "dev texts, without answers",
    "test": "test texts, without answers",
    "dev_answers": "table to write: its answers on dev",
    "test_answers": "table to write: its answers on test",
}


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    task = params.load().task
    names = task.labels

    table = read_table(args.table)
    table = table.filter(pc.field("learn") & (pc.field("split") == "train"))[:TEXTS]
    unseen = [read_table(path, ["id", "text"]) for path in (args.dev, args.test)]
    predicted = fit_predict(
        table["text"].to_pylist(),
        from_column(table["labels"], names),
        [text for part in unseen for text in part["text"].to_pylist()],
        task,
    )
    on_dev, on_test = np.split(predicted, [len(unseen[0])])
    for part, probabilities, path in zip(
        unseen, (on_dev, on_test), (args.dev_answers, args.test_answers), strict=True
    ):
        labels = to_column(decide(probabilities, task), names)
        write_predictions(path, part["id"], probabilities, labels, names)
    say(f"baseline: TF-IDF and logistic regression on {len(table)} texts")


if __name__ == "__main__":
    run(main)
