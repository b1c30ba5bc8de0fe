"""Decides what the student learns from, and what a person should look at.

A person's correction replaces the teacher's answer. `coverage` keeps the surest texts of each class.

usage: python -m stages.select data/pool.parquet data/labeled.parquet data/dev.parquet data/test.parquet \\
           data/corrections.csv data/teacher_train.parquet data/review.csv data/review_dev.csv data/review_test.csv
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nolabels.core import params
from nolabels.core.labels import from_column, margins, surest, to_column
from nolabels.core.spelling import join
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import fixed, is_in_split, matrix, read_table, train_schema, write_table
from nolabels.data.annotations import read_answers, write_review


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts"),
        ("labeled", "the teacher's labels"),
        ("dev", "dev texts, without answers"),
        ("test", "test texts, without answers"),
        ("corrections", "csv of a person's answers to pool texts"),
        ("train", "table to write: what the student learns from"),
        ("review", "csv to write: pool texts where an answer helps most"),
        ("review_dev", "csv to write: random dev texts to answer as gold to choose by"),
        ("review_test", "csv to write: random test texts to answer as gold of the final figure"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task, names, select = values.task, values.task.labels, values.select

    pool, labeled = read_table(args.pool), read_table(args.labeled)
    dev, test = (read_table(path, ["id", "text"]) for path in (args.dev, args.test))
    elsewhere = {"data/dev_labels.csv": dev["id"], "data/test_labels.csv": test["id"]}
    corrections = read_answers(args.corrections, task, pool["id"], elsewhere)

    probabilities = matrix(labeled["probabilities"]).copy()
    margin = margins(probabilities, task)
    answers = from_column(labeled["labels"], names)
    train = is_in_split(pool, "train")
    learn = surest(answers, margin, train, select.keep_fraction) | is_in_split(pool, "valid")
    person = np.zeros(len(pool), bool)
    corrected = pc.index_in(pa.array(list(corrections), pa.string()), value_set=pool["id"]).to_pylist()
    for row, given in zip(corrected, corrections.values(), strict=True):
        person[row] = learn[row] = True
        answers[row] = probabilities[row] = [name in given for name in names]
    columns = {
        "id": pool["id"],
        "text": pool["text"],
        "split": pool["split"],
        "probabilities": fixed(probabilities, np.float32),
        "labels": to_column(answers, names),
        "learn": pa.array(learn),
        "source": pa.array(np.where(person, "person", "teacher")),
    }
    write_table(args.train, pa.table(columns, schema=train_schema(len(names))), classes=names)

    order = np.argsort(margin, kind="stable")
    unsure = order[~person[order]][: select.review]
    asked = pool.select(["id", "text"]).take(unsure).to_pylist()
    told = labeled.select(["labels", "confidence"]).take(unsure).to_pylist()
    write_review(
        args.review,
        [
            {**text, "teacher": join(label["labels"]), "confidence": f"{label['confidence']:.4f}"}
            for text, label in zip(asked, told, strict=True)
        ],
        ["id", "text", "teacher", "confidence"],
    )
    # they stand in draw order already, so the first ones are a random part
    for path, texts in ((args.review_dev, dev), (args.review_test, test)):
        write_review(path, texts.slice(0, select.review).to_pylist(), ["id", "text"])
    learned = int(learn[train].sum())
    say(
        f"select: {learned} texts to learn from, {int(person.sum())} of all answered by a person; {len(unsure)} to review"
    )


if __name__ == "__main__":
    run(main)
