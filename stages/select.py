"""Decides what the student learns from, and what a person should look at.

A person's correction replaces the teacher's answer. `keep_fraction` keeps the most confident labels of each class.

usage: python -m stages.select data/pool.parquet data/labeled.parquet data/dev.parquet data/test.parquet \\
           data/corrections.csv data/teacher_train.parquet data/review.csv data/review_dev.csv data/review_test.csv
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nolabels.core import params
from nolabels.core.labels import from_column, margins, most_confident, to_column
from nolabels.core.schemas import train_schema
from nolabels.core.spelling import join
from nolabels.core.stage import path_arguments, run, say
from nolabels.core.tables import fixed, is_in_split, matrix, read_table, write_table
from nolabels.data.annotations import read_answers, write_review

PATHS = {
    "pool": "pool texts",
    "labeled": "the teacher's labels",
    "dev": "dev texts, without answers",
    "test": "test texts, without answers",
    "corrections": "csv of a person's answers to pool texts",
    "train": "table to write: what the student learns from",
    "review": "csv to write: pool texts where an answer helps most",
    "review_dev": "csv to write: random dev texts to answer as gold to choose by",
    "review_test": "csv to write: random test texts to answer as gold of the final figure",
}


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    values = params.load()
    task, names, select = values.task, values.task.labels, values.select

    pool, labeled = read_table(args.pool), read_table(args.labeled)
    dev, test = (read_table(path, ["id", "text"]) for path in (args.dev, args.test))
    elsewhere = {"data/dev_labels.csv": dev["id"], "data/test_labels.csv": test["id"]}
    corrections = read_answers(args.corrections, task, pool["id"], elsewhere)

    probabilities = matrix(labeled["probabilities"]).copy()
    margin = margins(probabilities, task)
    labels = from_column(labeled["labels"], names)
    train = is_in_split(pool, "train")
    learn = most_confident(labels, margin, train, select.keep_fraction) | is_in_split(pool, "valid")
    corrected = correct(pool["id"], corrections, labels, probabilities, names)
    learn |= corrected
    columns = {
        "id": pool["id"],
        "text": pool["text"],
        "split": pool["split"],
        "probabilities": fixed(probabilities, np.float32),
        "labels": to_column(labels, names),
        "learn": pa.array(learn),
        "source": pa.array(np.where(corrected, "person", "teacher")),
    }
    write_table(args.train, pa.table(columns, schema=train_schema(len(names))), classes=names)

    order = np.argsort(margin, kind="stable")
    unsure = order[~corrected[order]][: select.review]
    write_unsure(args.review, pool.take(unsure), labeled.take(unsure))
    # they stand in draw order already, so the first ones are a random part
    for path, texts in ((args.review_dev, dev), (args.review_test, test)):
        write_review(path, texts.slice(0, select.review).to_pylist(), ["id", "text"])
    say(
        f"select: {int(learn[train].sum())} texts to learn from, {int(corrected.sum())} of all answered by a person; "
        f"{len(unsure)} to review"
    )


def correct(ids, corrections, labels, probabilities, names):
    """Puts people's answers in the place of the teacher's, in both arrays; returns which texts have one: N bool.

    ids: N ids; corrections: {id: class names}; labels, probabilities: N x K.
    """
    corrected = np.zeros(len(ids), bool)
    rows = pc.index_in(pa.array(list(corrections), pa.string()), value_set=ids).to_pylist()
    for row, given in zip(rows, corrections.values(), strict=True):
        corrected[row] = True
        labels[row] = probabilities[row] = [name in given for name in names]
    return corrected


def write_unsure(path, texts, labeled):
    """The csv in which a person answers the texts that the teacher is least sure of."""
    rows = zip(
        texts.select(["id", "text"]).to_pylist(),
        labeled.select(["labels", "confidence"]).to_pylist(),
        strict=True,
    )
    answers = [
        {**text, "teacher": join(answer["labels"]), "confidence": f"{answer['confidence']:.4f}"}
        for text, answer in rows
    ]
    write_review(path, answers, ["id", "text", "teacher", "confidence"])


if __name__ == "__main__":
    run(main)
