"""What a classical model learns from the same labels: TF-IDF and logistic regression of scikit-learn.

usage: python -m stages.baseline data/train.parquet data/test.parquet data/baseline_test.parquet
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nolabels import params
from nolabels.labels import decide, from_column, to_column
from nolabels.stage import arguments, run, say
from nolabels.tables import fixed, predictions_schema, read_table, rounded, write_table
from nolabels.tfidf import fit_predict

TEXTS = 100_000  # at most so many are learned from; a pool stands in random order


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("table", type=Path, help="what to learn from")
    parser.add_argument("test", type=Path, help="test texts, without answers")
    parser.add_argument("predictions", type=Path, help="table to write")
    args = parser.parse_args(argv)
    task = params.load().task
    names = task.labels

    table, test = read_table(args.table), read_table(args.test, ["id", "text"])
    table = table.filter((pc.field("weight") > 0) & (pc.field("split") == "train"))[:TEXTS]
    predicted = fit_predict(
        table["text"].to_pylist(),
        from_column(table["labels"], names),
        table["weight"].to_numpy(),
        test["text"].to_pylist(),
        task,
    )
    columns = {
        "id": test["id"],
        "probabilities": fixed(rounded(predicted), np.float32),
        "labels": to_column(decide(predicted, task), names),
    }
    write_table(args.predictions, pa.table(columns, schema=predictions_schema(len(names))), classes=names)
    say(f"baseline: TF-IDF and logistic regression on {len(table)} texts")


if __name__ == "__main__":
    run(main)
