"""Draws test, dev and pool from the raw texts, disjoint by text; answers go into files of their own.

Which of the three a text may be in depends on the text alone (`sample.zones`), so new rows move nothing. Of the
files that people answer it reads which texts are answered, not what: those stay in, whatever the sizes.

usage: python -m stages.sample data/raw data/dev_labels.csv data/test_labels.csv data metrics/sample.json
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels.core import params
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import GOLD, POOL, TEXTS, table_writer, write_json, write_table
from nolabels.data import readers
from nolabels.data.annotations import read_ids
from nolabels.data.draw import draw, draw_as_notebook, places_of
from nolabels.data.duplicates import NearDuplicates, near_duplicates
from nolabels.data.source import first_of_each, holds_ids, read_texts, scan

GROUP_ROWS = 1 << 18  # rows that are written at a time


def hex_ids(ids):
    """N x 16 bytes -> a column of 32 hex digits, without a Python object per id."""
    digits = np.frombuffer(ids.tobytes().hex().encode(), "S32")
    offsets = pa.py_buffer(np.arange(0, 32 * len(ids) + 1, 32, dtype=np.int64))
    column = pa.LargeStringArray.from_buffers(len(ids), offsets, pa.py_buffer(digits))
    return column.cast(pa.string())


def write_texts(path, schema, source, texts, place, split=None):
    """A table of texts, in blocks, so that ten million of them do not stand in memory twice."""
    with table_writer(path, schema) as writer:
        for start in range(0, max(len(source), 1), GROUP_ROWS):
            rows = slice(start, start + GROUP_ROWS)
            columns = {
                "id": hex_ids(source.ids[rows]),
                "text": texts.take(pa.array(place[rows])).cast(pa.string()),
                "row": pa.array(source.rows[rows]),
            }
            if split is not None:
                columns["split"] = pa.array(split[rows])
            writer.write_table(pa.table(columns).select(schema.names).cast(writer.schema))


def write_gold(path, source, answers, names):
    known = source.take(source.golds >= 0)
    labels = pa.array([[names[index] for index in answer] for answer in answers], GOLD.field("labels").type)
    columns = {"id": hex_ids(known.ids), "labels": labels.take(pa.array(known.golds))}
    write_table(path, pa.table(columns, schema=GOLD))


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("raw", type=Path, help="folder with the raw files")
    parser.add_argument("dev_labels", type=Path, help="csv of a person's answers to dev texts")
    parser.add_argument("test_labels", type=Path, help="csv of a person's answers to test texts")
    parser.add_argument("out", type=Path, help="folder for pool, test, gold, dev, dev_gold")
    parser.add_argument("metrics", type=Path, help="JSON to write: what was drawn and left out")
    args = parser.parse_args(argv)
    values = params.load()
    sample, task = values.sample, values.task
    notebook = sample.method == "notebook"

    pool_files, test_files = readers.list_files(args.raw, sample.test_file)
    files = test_files + pool_files  # of equal texts the one in the test file is the first
    # answers in the pool's files are of use for test and dev only
    with_gold = [True] * len(test_files) + [not test_files or sample.dev != 0] * len(pool_files)
    source, answers, empty = scan(files, sample, task, with_gold, notebook)
    rows_read = len(source)
    if not rows_read:
        raise UserError(
            f"{files[0]}: row 1: must be followed by rows with texts, found {empty} and all empty"
        )
    others = source.ids[source.files >= len(test_files)]
    held = np.unique(source.ids[source.files < len(test_files)])
    if not notebook:
        overlap = int(np.isin(others, held).sum())
        source = source.take(first_of_each(source.ids))
    from_test = source.files < len(test_files) if test_files else None
    different = len(source)
    answered = {
        "test": holds_ids(source.ids, read_ids(args.test_labels)),
        "dev": holds_ids(source.ids, read_ids(args.dev_labels)),
    }
    left_out, guard = np.zeros(len(source), bool), None
    while True:
        parts = (draw_as_notebook if notebook else draw)(
            source.ids, source.golds, sample, answered, from_test, left_out
        )
        rows = np.concatenate([parts[name] for name in ("valid", "train", "more", "test", "dev")])
        places = places_of(parts)
        drawn = source.take(rows)
        texts, place = read_texts(files, sample, drawn)
        learned = slice(0, places["more"].stop)
        if guard is None:
            unseen = texts.take(pa.array(place[learned.stop :]))
            guard = NearDuplicates(unseen.to_pylist(), sample.similarity)
        near = near_duplicates(guard, texts, place[learned])
        if sample.near_duplicates == "keep" or not near.any():
            break
        # others take their places, and may be near-duplicates too
        left_out[rows[learned][near]] = True
    del source
    tables = {name: drawn.take(rows) for name, rows in places.items()}
    pool = tables["pool"]
    if notebook:
        overlap = int(np.isin(pool.ids, held).sum())

    split = np.repeat(["valid", "train"], [len(parts["valid"]), len(parts["train"])])
    for name, table in tables.items():
        schema, column = (POOL, split) if name == "pool" else (TEXTS, None)
        write_texts(args.out / f"{name}.parquet", schema, table, texts, place[places[name]], column)
    write_gold(args.out / "gold.parquet", tables["test"], answers, task.labels)
    write_gold(args.out / "dev_gold.parquet", tables["dev"], answers, task.labels)

    metrics = {
        "pool": len(parts["train"]),
        "valid": len(parts["valid"]),
        "more": len(parts["more"]),
        "test": len(parts["test"]),
        "dev": len(parts["dev"]),
        "rows": rows_read,
        "empty": empty,
        "duplicates": rows_read - different if not notebook else len(pool) - len(np.unique(pool.ids)),
        "also_in_test_file": overlap,
        "near_duplicates": int(near.sum()),
        "near_duplicates_removed": int(left_out.sum()),
    }
    write_json(args.metrics, metrics)
    counted = f"{metrics['pool']} pool texts and {metrics['valid']} for validation, {metrics['test']} test, {metrics['dev']} dev"
    if notebook:
        say(
            f"sample: {counted}, of {len(others)} rows as the notebook drew them; of the pool {overlap} are in "
            f"the test file too and {metrics['duplicates']} stand twice, all kept"
        )
    else:
        also = f", {overlap} of the pool's files also in the test file" if test_files else ""
        say(
            f"sample: {counted}, of {different} different texts "
            f"({metrics['duplicates']} duplicates{also}, {empty} empty rows left out)"
        )
    if near.any() or left_out.any():
        say(
            f"sample: {near.sum()} pool texts are near-duplicates of a test or dev text"
            if near.any()
            else f"sample: {left_out.sum()} near-duplicates of test and dev texts left out of the pool"
        )
    found = {index for gold in np.unique(tables["test"].golds) if gold >= 0 for index in answers[gold]}
    absent = [name for index, name in enumerate(task.labels) if sample.gold and index not in found]
    if absent:
        say(f"sample: warning: no test text has the gold class {', '.join(absent)}")


if __name__ == "__main__":
    run(main)
