"""Draws test, dev and pool from the raw texts, disjoint by text; answers go into files of their own.

Which of the three a text may be in depends on the text alone (`sample.zones`), so new rows move nothing. Of the
files that people answer it reads which texts are answered, not what: those stay in, whatever the sizes.

usage: python -m stages.sample data/raw data/dev_labels.csv data/test_labels.csv data metrics/sample.json
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels.core import params
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import GOLD, POOL, TEXTS, table_writer, write_json, write_table
from nolabels.data import readers
from nolabels.data.annotations import read_ids
from nolabels.data.duplicates import NearDuplicates
from nolabels.data.texts import draw_key, text_id, zone_place

BLOCK_ROWS = 65_536  # rows that are Python objects at a time; everything else is arrays
GROUP_ROWS = 1 << 18  # rows that are written at a time
ZONES = ("test", "dev", "pool")  # in the order in which they divide the hash range


@dataclass(frozen=True)
class Source:
    """What is known of N rows with a text, in the order of the files; the texts themselves are not kept.

    ids: N x 16 bytes; golds: number of the answer, -1 for none; files: index of the file; rows: number
    in it.
    """

    ids: np.ndarray
    golds: np.ndarray
    files: np.ndarray
    rows: np.ndarray

    def __len__(self):
        return len(self.ids)

    def take(self, indices):
        return Source(self.ids[indices], self.golds[indices], self.files[indices], self.rows[indices])


def scan(files, sample, task, with_gold, keep_empty):
    """One pass over the files -> Source, the answers that its golds number, and how many rows had no text.

    An answer is a tuple of class indices. with_gold: for each file, whether its answers are read;
    keep_empty: whether rows without a text count.
    """
    parts, empty = [], 0
    numbers = {None: -1}
    for number, path in enumerate(files):
        gold = sample.gold if with_gold[number] else None
        to_classes = readers.gold_classes(path, gold, task)
        ids, golds, rows = bytearray(), [], []

        def close(ids, golds, rows, number=number):
            parts.append(
                Source(
                    np.frombuffer(bytes(ids), "V16"),
                    np.array(golds, np.int32),
                    np.full(len(rows), number, np.int32),
                    np.array(rows, np.int64),
                )
            )

        for row, text, value in readers.read_rows(path, sample, gold):
            answer = to_classes(row, value)
            if not keep_empty and not text.strip():
                empty += 1
                continue
            ids += bytes.fromhex(text_id(text))
            golds.append(numbers.setdefault(answer, len(numbers) - 1))
            rows.append(row)
            if len(rows) == BLOCK_ROWS:
                close(ids, golds, rows)
                ids, golds, rows = bytearray(), [], []
        close(ids, golds, rows)
    joined = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "golds", "files", "rows")
    )
    return Source(*joined), list(numbers)[1:], empty


def first_of_each(ids):
    """Indices of the first row of each id, in order. ids: N x 16 bytes."""
    halves = ids.view(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal ids the first comes first
    new = np.ones(len(order), bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(1)
    return np.sort(order[new])


def draw_order(ids, seed):
    """Indices in draw order: by a hash of seed and id, whatever else the source holds."""
    keys = np.empty(len(ids), "V8")
    for start in range(0, len(ids), BLOCK_ROWS):
        block = ids[start : start + BLOCK_ROWS]
        joined = b"".join(draw_key(seed, identifier.tobytes().hex()) for identifier in block)
        keys[start : start + len(block)] = np.frombuffer(joined, "V8")
    return np.argsort(keys.view(">u8"), kind="stable")


def zones_of(ids, zones):
    """The number in ZONES of each id's zone: N int8. ids: N x 16 bytes; zones: params.Zones."""
    ends = np.cumsum([zones.test, zones.dev])
    places = np.empty(len(ids))
    for start in range(0, len(ids), BLOCK_ROWS):
        block = ids[start : start + BLOCK_ROWS]
        places[start : start + len(block)] = [zone_place(identifier.tobytes().hex()) for identifier in block]
    return np.searchsorted(ends, places, side="right").astype(np.int8)


def draw(ids, golds, sample, answered, from_test=None, left_out=None):
    """Indices of each part, in draw order; ids: N x 16 bytes, each once; golds: N, -1 for none.

    Each part is drawn from its own zone. test and dev: the first texts with gold (all texts where the source
    has no gold), and those that people answered. answered: {"test", "dev"}, each N bool. from_test: N bool,
    which texts are of the test file, which is then the zone of the test; None: there is no such file. left_out:
    N bool, texts that the pool must not hold, or None. Returns {"test", "dev", "valid", "train", "more"}. Raises
    UserError where a zone holds too little.
    """
    order = draw_order(ids, sample.seed)
    zone = zones_of(ids, sample.zones)
    if from_test is not None:
        zone[from_test] = ZONES.index("test")
    parts = {}
    for number, name in enumerate(("test", "dev")):
        inside = order[zone[order] == number]
        parts[name] = draw_part(inside, golds, sample, name, answered[name])
    rest = order[zone[order] == ZONES.index("pool")]
    if left_out is not None:
        rest = rest[~left_out[rest]]
    what = f"texts in {zone_told(sample, 'pool')}"
    if sample.pool is None and len(rest) <= sample.valid:
        raise UserError(
            f"params.yaml: sample.valid: must be below the {len(rest)} {what}, found {sample.valid}"
        )
    enough(rest, sample.valid + (sample.pool or 0), "sample.pool + sample.valid", what)
    parts["valid"] = rest[: sample.valid]
    parts["train"] = rest[sample.valid :][: sample.pool]
    further = rest[sample.valid + len(parts["train"]) :]
    enough(further, sample.more or 0, "sample.more", f"further texts in {zone_told(sample, 'pool')}")
    parts["more"] = further[: sample.more]
    return parts


def draw_part(inside, golds, sample, name, answered):
    """The first `sample.test` (or dev) of the indices `inside` that have gold, and those answered by people."""
    able = inside[golds[inside] >= 0] if sample.gold else inside
    size = getattr(sample, name)
    what = "texts with gold" if sample.gold else "texts"
    where = zone_told(sample, name)
    if size is None and name == "test" and not len(able):
        raise UserError(f"params.yaml: sample.test: null needs {what} in {where}, found none")
    enough(able, size or 0, f"sample.{name}", f"{what} in {where}")
    taken = answered.copy()
    taken[able[:size]] = True
    return inside[taken[inside]]


def zone_told(sample, name):
    """Where the texts of a part come from, for messages."""
    if name == "test" and sample.test_file is not None:
        return "the test file"
    return f"their zone (sample.zones.{name}: {getattr(sample.zones, name):g})"


def enough(found, need, keys, what):
    if len(found) < need:
        raise UserError(f"params.yaml: {keys}: must be at most the {len(found)} {what}, found {need}")


def draw_as_notebook(ids, golds, sample, answered, from_test, left_out):
    """The rows that `random.seed(42); random.sample(train_sentences, 1000)` picks, in that order.

    The pick depends on seed and count alone. Nothing is left out: neither texts that stand twice nor
    those that the test set holds too; `left_out` is there for the same call as `draw`. The test texts are the first
    ones of the test file in draw order, and those that people answered.
    """
    train, test = np.flatnonzero(~from_test), np.flatnonzero(from_test)
    enough(train, sample.pool, "sample.pool", "texts outside the test file")
    picked = random.Random(sample.seed).sample(range(len(train)), sample.pool)
    inside = test[draw_order(ids[test], sample.seed)]
    none = np.zeros(0, np.int64)
    parts = {"test": draw_part(inside, golds, sample, "test", answered["test"]), "dev": none}
    return {**parts, "valid": none, "train": train[picked], "more": none}


def holds_ids(ids, wanted):
    """Which of N x 16 bytes are among the hex ids `wanted`: N bool."""
    return np.isin(ids, np.array([bytes.fromhex(identifier) for identifier in wanted], "V16"))


def near_duplicates(guard, texts, place):
    """Which of the pool's N texts resemble a test or dev text: N bool. texts, place: as read_texts gives them."""
    found = np.zeros(len(place), bool)
    for start in range(0, len(place), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        found[rows] = [guard.resembles(text) for text in texts.take(pa.array(place[rows])).to_pylist()]
    return found


def read_texts(files, sample, source):
    """The texts of a source's N rows as one Arrow array, and the place (N) of each row's text in it."""
    order = np.lexsort((source.rows, source.files))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    blocks, block = [], []
    for number, path in enumerate(files):
        wanted = iter(source.rows[order[source.files[order] == number]].tolist())
        row = next(wanted, None)
        if row is None:
            continue
        for found, text, _ in readers.read_rows(path, sample, None):
            if found != row:
                continue
            block.append(text)
            if len(block) == BLOCK_ROWS:
                blocks.append(pa.array(block, pa.large_string()))
                block = []
            row = next(wanted, None)
            if row is None:
                break
    blocks.append(pa.array(block, pa.large_string()))
    return pa.concat_arrays(blocks), place


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


def places_of(parts):
    """Where each table's rows stand when the parts are put together: {"pool", "more", "test", "dev"}, slices."""
    sizes = {"pool": len(parts["valid"]) + len(parts["train"])}
    sizes |= {name: len(parts[name]) for name in ("more", "test", "dev")}
    ends = np.cumsum(list(sizes.values())).tolist()
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


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
