"""Decides what the student learns from, and what a person should look at.

A person's correction replaces the teacher's answer. `coverage` keeps the surest texts of each class.

usage: python -m stages.select data/pool.parquet data/labeled.parquet data/test.parquet \\
           data/corrections.csv data/train.parquet data/review.csv data/review_test.csv
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import params
from nolabels.labels import from_column, margins, surest, to_column
from nolabels.people import read_answers, write_review
from nolabels.spelling import join
from nolabels.stage import arguments, run, say
from nolabels.tables import fixed, matrix, read_table, train_schema, write_table


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts"),
        ("labeled", "the teacher's labels"),
        ("test", "test texts, without answers"),
        ("corrections", "csv of a person's answers to pool texts"),
        ("train", "table to write: what the student learns from"),
        ("review", "csv to write: pool texts where an answer helps most"),
        ("review_test", "csv to write: random test texts to answer as gold"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task, names, select = values.task, values.task.labels, values.select

    pool, labeled = read_table(args.pool), read_table(args.labeled)
    test = read_table(args.test, ["id", "text"])
    ids, texts = pool["id"].to_pylist(), pool["text"].to_pylist()
    place = {identifier: row for row, identifier in enumerate(ids)}
    corrections = read_answers(
        args.corrections,
        task,
        place,
        set(test["id"].to_pylist()),
        "a test text; it belongs into data/test_labels.csv",
    )

    probabilities = matrix(labeled["probabilities"]).copy()
    margin = margins(probabilities, task)
    answers = from_column(labeled["labels"], names)
    split = np.array(pool["split"].to_pylist())
    weight = surest(answers, margin, split == "train", select.coverage) | (split == "valid")
    person = np.zeros(len(ids), bool)
    for identifier, given in corrections.items():
        row = place[identifier]
        person[row] = weight[row] = True
        answers[row] = probabilities[row] = [name in given for name in names]
    columns = {
        "id": pool["id"],
        "text": pool["text"],
        "split": pool["split"],
        "probabilities": fixed(probabilities, np.float32),
        "labels": to_column(answers, names),
        "weight": pa.array(weight.astype(np.float32)),
        "source": pa.array(np.where(person, "person", "teacher")),
    }
    write_table(args.train, pa.table(columns, schema=train_schema(len(names))), classes=names)

    unsure = [row for row in np.argsort(margin, kind="stable") if not person[row]][: select.review]
    labels, confidence = labeled["labels"].to_pylist(), labeled["confidence"].to_numpy()
    write_review(
        args.review,
        [
            {
                "id": ids[row],
                "text": texts[row],
                "teacher": join(labels[row]),
                "confidence": f"{confidence[row]:.4f}",
            }
            for row in unsure
        ],
        ["id", "text", "teacher", "confidence"],
    )
    # test texts stand in draw order already, so the first ones are a random part
    write_review(args.review_test, test.slice(0, select.review).to_pylist(), ["id", "text"])
    learned = int(weight[split == "train"].sum())
    say(
        f"select: {learned} texts to learn from, {int(person.sum())} of all answered by a person; {len(unsure)} to review"
    )


if __name__ == "__main__":
    run(main)
