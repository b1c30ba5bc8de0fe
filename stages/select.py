"""Decides what the student learns from, and what a person should look at.

A person's correction replaces the teacher's answer. `coverage` keeps the surest texts of each class.

usage: python -m stages.select data/pool.parquet data/labeled.parquet data/test.parquet \\
           data/corrections.csv data/train.parquet data/review.csv data/review_test.csv
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import params
from nolabels.people import read_answers, write_review
from nolabels.stage import arguments, run, say
from nolabels.tables import fixed, matrix, read_table, train_schema, write_table


def margins(probabilities):
    """How far the likeliest class is ahead of the second, 0 (undecided) to 1 (certain)."""
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def surest(answers, margin, among, coverage):
    """Of the texts `among` (N bool), the share `coverage` with the largest margin in each class.

    Class by class and never by one threshold for all: a class that the teacher is less sure of would
    lose its texts (self-training of Gera et al. 2022). At least one text of each class stays.
    """
    keep = np.zeros(len(answers), bool)
    for answer in np.unique(answers[among]):
        members = np.flatnonzero(among & (answers == answer))
        count = max(1, round(coverage * len(members)))
        keep[members[np.argsort(-margin[members], kind="stable")[:count]]] = True
    return keep


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
    names, select = values.task.names, values.select

    pool, labeled = read_table(args.pool), read_table(args.labeled)
    test = read_table(args.test, ["id", "text"])
    ids, texts = pool["id"].to_pylist(), pool["text"].to_pylist()
    place = {identifier: row for row, identifier in enumerate(ids)}
    corrections = read_answers(
        args.corrections,
        names,
        place,
        set(test["id"].to_pylist()),
        "a test text; it belongs into data/test_labels.csv",
    )

    probabilities = matrix(labeled["probabilities"]).copy()
    margin = margins(probabilities)
    answers = probabilities.argmax(1)
    weight = surest(answers, margin, np.array(pool["split"].to_pylist()) == "train", select.coverage)
    weight |= np.array(pool["split"].to_pylist()) == "valid"
    person = np.zeros(len(ids), bool)
    for identifier, name in corrections.items():
        row = place[identifier]
        person[row], weight[row], answers[row] = True, True, names.index(name)
        probabilities[row] = np.eye(len(names), dtype=np.float32)[names.index(name)]
    columns = {
        "id": pool["id"],
        "text": pool["text"],
        "split": pool["split"],
        "probabilities": fixed(probabilities, np.float32),
        "labels": pa.array([[names[answer]] for answer in answers], pa.list_(pa.string())),
        "weight": pa.array(weight.astype(np.float32)),
        "source": pa.array(np.where(person, "person", "teacher")),
    }
    write_table(args.train, pa.table(columns, schema=train_schema(len(names))), classes=names)

    unsure = [row for row in np.argsort(margin, kind="stable") if not person[row]][: select.review]
    write_review(
        args.review,
        [
            {
                "id": ids[row],
                "text": texts[row],
                "teacher": names[answers[row]],
                "confidence": f"{probabilities[row].max():.4f}",
            }
            for row in unsure
        ],
        ["id", "text", "teacher", "confidence"],
    )
    # test texts stand in draw order already, so the first ones are a random part
    write_review(args.review_test, test.slice(0, select.review).to_pylist(), ["id", "text"])
    learned = int((weight[np.array(pool["split"].to_pylist()) == "train"]).sum())
    say(
        f"select: {learned} texts to learn from, {int(person.sum())} of all answered by a person; {len(unsure)} to review"
    )


if __name__ == "__main__":
    run(main)
