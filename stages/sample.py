"""Draws test, dev and pool from the raw texts, disjoint by text; answers go into files of their own.

usage: python -m stages.sample data/raw data
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import params, readers
from nolabels.stage import UserError, arguments, run, say
from nolabels.tables import GOLD, POOL, TEXTS, write_table
from nolabels.texts import draw_key, text_id


def scan(path, sample, classes):
    """One pass over the source: ids (N x 32 bytes), gold class (N, -1 for none), rows (N); dropped rows.

    Of texts with equal ids the first is kept. Texts themselves are not: a second pass reads those
    that were drawn.
    """
    to_class = readers.gold_classes(path, sample.gold, classes)
    ids, golds, rows, empty = [], [], [], 0
    for row, text, gold in readers.read_rows(path, sample):
        answer = to_class(row, gold)
        if not text.strip():
            empty += 1
            continue
        ids.append(bytes.fromhex(text_id(text)))
        golds.append(answer)
        rows.append(row)
    ids = np.array(ids, "V16") if ids else np.zeros(0, "V16")
    _, first = np.unique(ids, return_index=True)
    first.sort()
    duplicates = len(ids) - len(first)
    return ids[first], np.array(golds, np.int16)[first], np.array(rows, np.int64)[first], empty, duplicates


def draw(ids, golds, sample):
    """Indices of each part, in draw order: texts with gold fill test, then dev; the rest is pool.

    Returns {"test", "dev", "valid", "train"}. Raises UserError where there is too little.
    """
    keys = np.array([draw_key(sample.seed, bytes(identifier).hex()) for identifier in ids], "V8")
    order = np.argsort(keys, kind="stable")
    answered = order[golds[order] >= 0] if sample.gold else order
    need = sample.test + sample.dev
    if len(answered) < need:
        raise UserError(
            f"params.yaml: sample.test + sample.dev: must be at most the {len(answered)} texts with gold, found {need}"
        )
    parts = {"test": answered[: sample.test], "dev": answered[sample.test : need]}
    held = np.zeros(len(ids), bool)
    held[answered[:need]] = True
    rest = order[~held[order]]
    if len(rest) < sample.valid + sample.pool:
        raise UserError(
            f"params.yaml: sample.pool + sample.valid: must be at most the {len(rest)} texts beside test and dev, "
            f"found {sample.valid + sample.pool}"
        )
    parts["valid"] = rest[: sample.valid]
    parts["train"] = rest[sample.valid : sample.valid + sample.pool]
    return parts


def read_texts(path, sample, rows):
    """{row: text} of the rows that were drawn."""
    wanted = set(rows.tolist())
    return {row: text for row, text, _ in readers.read_rows(path, sample) if row in wanted}


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("raw", type=Path, help="folder with the raw file")
    parser.add_argument("out", type=Path, help="folder for pool, test, gold, dev, dev_gold")
    args = parser.parse_args(argv)
    values = params.load()
    sample, classes = values.sample, values.task.names

    files = sorted(path for path in args.raw.iterdir() if path.is_file())
    if len(files) != 1:
        raise UserError(f"{args.raw}: must hold one file, found {len(files)}")
    (path,) = files
    ids, golds, rows, empty, duplicates = scan(path, sample, classes)
    parts = draw(ids, golds, sample)
    texts = read_texts(path, sample, rows[np.concatenate(list(parts.values()))])

    def columns(indices):
        return {
            "id": [bytes(ids[index]).hex() for index in indices],
            "text": [texts[rows[index]] for index in indices],
            "row": rows[indices],
        }

    pool = np.concatenate([parts["valid"], parts["train"]])
    split = ["valid"] * len(parts["valid"]) + ["train"] * len(parts["train"])
    write_table(
        args.out / "pool.parquet", pa.table({**columns(pool), "split": split}).select(POOL.names).cast(POOL)
    )
    for name, gold in (("test", "gold"), ("dev", "dev_gold")):
        indices = parts[name]
        table = pa.table(columns(indices))
        write_table(args.out / f"{name}.parquet", table.cast(TEXTS))
        known = indices[golds[indices] >= 0]
        answers = {
            "id": [bytes(ids[index]).hex() for index in known],
            "labels": [[classes[golds[index]]] for index in known],
        }
        write_table(args.out / f"{gold}.parquet", pa.table(answers, schema=GOLD))
    say(
        f"sample: {len(parts['train'])} pool texts and {len(parts['valid'])} for validation, {len(parts['test'])} test, "
        f"{len(parts['dev'])} dev, of {len(ids)} different texts ({duplicates} duplicates, {empty} empty rows left out)"
    )
    absent = [
        name for number, name in enumerate(classes) if sample.gold and number not in golds[parts["test"]]
    ]
    if absent:
        say(f"sample: warning: no test text has the gold class {', '.join(absent)}")


if __name__ == "__main__":
    run(main)
