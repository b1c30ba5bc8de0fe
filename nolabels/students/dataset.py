"""What a student learns from, as a Dataset that is mapped from files."""

import errno
import os
from pathlib import Path

import numpy as np

from nolabels.core.labels import from_column
from nolabels.core.tables import matrix


def targets(table, names, kind):
    """N x K float32: how much of each class to learn.

    hard: 1 for a label; soft: the probabilities, of which the teacher's doubt is a part (Hinton,
    Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network").
    """
    wanted = matrix(table["probabilities"]) if kind == "soft" else from_column(table["labels"], names)
    return wanted.astype(np.float32)


def encode(tokenizer, texts, max_tokens):
    """Lists of token ids, each of at most `max_tokens`."""
    # tokenizers fail on no texts
    return tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"] if texts else []


def lesson(path, split, tokenizer, names, settings, folder):
    """The texts to learn from of a split as a Dataset of input_ids, labels (see `targets`) and length.

    path: a Parquet file with the columns of `tables.train_schema`. It is read in blocks and mapped from files in
    `folder`, so that ten million texts need no memory.
    """
    import datasets
    import pyarrow.dataset as pads

    wanted_rows = (pads.field("split") == split) & pads.field("learn")
    if not pads.dataset(path).count_rows(filter=wanted_rows):  # from_parquet fails on no rows
        return datasets.Dataset.from_dict({"input_ids": [], "labels": [], "length": []})
    datasets.disable_progress_bars()
    try:
        table = datasets.Dataset.from_parquet(
            str(path),
            columns=["text", "labels", "probabilities", "learn", "split"],
            filters=wanted_rows,
            cache_dir=str(Path(folder, split)),
        )
    except OSError as error:
        if "disk space" in str(error):  # datasets looks itself, and raises without a number
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise

    def encoded(block):
        ids = encode(tokenizer, block["text"].to_pylist(), settings.max_tokens)
        wanted = targets(block, names, settings.targets)
        return {"input_ids": ids, "labels": wanted.tolist(), "length": [len(row) for row in ids]}

    return (
        table.with_format("arrow")
        .map(encoded, batched=True, remove_columns=table.column_names, new_fingerprint="encoded")
        .with_format(None)
    )
