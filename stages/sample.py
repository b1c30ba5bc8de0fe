"""Draws test, dev and pool from the raw texts, disjoint by text; answers go into files of their own.

Which of the three a text may be in depends on the text alone (`sample.zones`), so new rows move nothing. In the
files that people answer it reads which texts are answered, and not the answers: those texts stay in, whatever the sizes.

usage: python -m stages.sample data/raw data/dev_labels.csv data/test_labels.csv data metrics/sample.json
"""

import numpy as np

from nolabels.core import params
from nolabels.core.stage import UserError, path_arguments, run, say
from nolabels.core.tables import write_json
from nolabels.data.annotations import read_ids
from nolabels.data.readers import list_files
from nolabels.data.source import first_of_each, is_among, scan
from nolabels.data.splits import draw_texts, write_tables

PATHS = {
    "raw": "folder with the raw files",
    "dev_labels": "csv of a person's answers to dev texts",
    "test_labels": "csv of a person's answers to test texts",
    "out": "folder for pool, test, gold, dev, dev_gold",
    "metrics": "JSON to write: what was drawn and left out",
}


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    values = params.load()
    sample, task = values.sample, values.task
    notebook = sample.method == "notebook"
    pool_files, test_files = list_files(args.raw, sample.test_file)
    files = test_files + pool_files  # of equal texts the one in the test file is the first
    # answers in the pool's files are of use for test and dev only
    with_gold = [True] * len(test_files) + [not test_files or sample.dev != 0] * len(pool_files)
    source, answers, empty = scan(files, sample, task, with_gold, notebook)
    counts = {"rows": len(source), "empty": empty, "outside": int((source.files >= len(test_files)).sum())}
    if not len(source):
        raise UserError(
            f"{files[0]}: row 1: must be followed by rows with texts, found {empty} and all empty"
        )
    of_test = source.files < len(test_files)
    in_test_file = np.unique(source.ids[of_test])
    if not notebook:
        counts["overlap"] = int(np.isin(source.ids[~of_test], in_test_file).sum())
        source = source.take(first_of_each(source.ids))
    counts["different"] = len(source)
    answered = {
        "test": is_among(source.ids, read_ids(args.test_labels)),
        "dev": is_among(source.ids, read_ids(args.dev_labels)),
    }
    from_test = source.files < len(test_files) if test_files else None
    drawn = draw_texts(files, sample, source, answered, from_test)
    del source  # at ten million texts, memory that writing needs
    pool = drawn.rows.ids[drawn.table("pool")]
    if notebook:
        counts["overlap"] = int(np.isin(pool, in_test_file).sum())
        counts["duplicates"] = len(pool) - len(np.unique(pool))
    else:
        counts["duplicates"] = counts["rows"] - counts["different"]

    write_tables(args.out, drawn, answers, task.labels)
    write_json(
        args.metrics,
        {
            "pool": drawn.sizes["train"],
            **{name: drawn.sizes[name] for name in ("valid", "more", "clusters", "test", "dev")},
            **{name: counts[name] for name in ("rows", "empty", "duplicates")},
            "also_in_test_file": counts["overlap"],
            "near_duplicates": drawn.near_duplicates,
            "near_duplicates_removed": drawn.removed,
        },
    )
    summarize(sample, drawn, counts, bool(test_files))
    if sample.gold:
        warn_of_absent_classes(drawn, answers, task.labels)


def summarize(sample, drawn, counts, with_test_file):
    """Says what was drawn, of how much. counts: what main counted in the files."""
    sizes = drawn.sizes
    taken = f"{sizes['train']} pool texts and {sizes['valid']} for validation, {sizes['test']} test, {sizes['dev']} dev"
    if sample.method == "notebook":
        say(
            f"sample: {taken}, of {counts['outside']} rows as the notebook drew them; of the pool {counts['overlap']} "
            f"are in the test file too and {counts['duplicates']} stand twice, all kept"
        )
    else:
        also = f", {counts['overlap']} of the pool's files also in the test file" if with_test_file else ""
        say(
            f"sample: {taken}, of {counts['different']} different texts "
            f"({counts['duplicates']} duplicates{also}, {counts['empty']} empty rows left out)"
        )
    if drawn.near_duplicates:
        say(f"sample: {drawn.near_duplicates} pool texts are near-duplicates of a test or dev text")
    elif drawn.removed:
        say(f"sample: {drawn.removed} near-duplicates of test and dev texts left out of the pool")


def warn_of_absent_classes(drawn, answers, names):
    golds = np.unique(drawn.rows.golds[drawn.table("test")])
    present = {index for gold in golds if gold >= 0 for index in answers[gold]}
    absent = [name for index, name in enumerate(names) if index not in present]
    if absent:
        say(f"sample: warning: no test text has the gold class {', '.join(absent)}")


if __name__ == "__main__":
    run(main)
