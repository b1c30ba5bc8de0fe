"""What a student learns from, as a Dataset that is mapped from files."""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nolabels.core.labels import from_column
from nolabels.core.params import Learning
from nolabels.core.tables import matrix

if TYPE_CHECKING:
    import pyarrow.dataset as pads
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def targets(table: pa.Table, names: list[str], kind: str) -> np.ndarray:
    """How much of each class to learn.

    Parameters
    ----------
    table : pyarrow.Table
        N rows with the columns of schemas.train_schema.
    names : list of str
        K classes.
    kind : {"hard", "soft"}
        hard: 1 for a label; soft: the probabilities, which hold the teacher's doubt too (Hinton, Vinyals and Dean
        2015, "Distilling the Knowledge in a Neural Network").

    Returns
    -------
    numpy.ndarray, N x K, float32
    """
    wanted = matrix(table["probabilities"]) if kind == "soft" else from_column(table["labels"], names)
    return wanted.astype(np.float32)


def encode(tokenizer: "PreTrainedTokenizerBase", texts: list[str], max_tokens: int) -> list[list[int]]:
    """Token ids of texts.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        Of the student.
    texts : list of str
        N texts.
    max_tokens : int
        A longer text is cut to so many, special tokens included.
    """
    # tokenizers fail on no texts
    return tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"] if texts else []


def read_dataset(
    path: Path,
    split: str,
    tokenizer: "PreTrainedTokenizerBase",
    names: list[str],
    settings: Learning,
    folder: Path,
) -> "Dataset":
    """The texts of a split that a student learns from.

    The file is read in blocks and mapped from other files, so that ten million texts need no memory.

    Parameters
    ----------
    path : pathlib.Path
        A Parquet file with the columns of schemas.train_schema.
    split : {"train", "valid"}
        Which of its rows.
    tokenizer : transformers.PreTrainedTokenizerBase
        Of the student.
    names : list of str
        K classes.
    settings : Learning
        max_tokens and targets are read.
    folder : pathlib.Path
        Where the mapped files go.

    Returns
    -------
    datasets.Dataset
        With input_ids, labels (see `targets`) and length, in tokens.
    """
    import datasets
    import pyarrow.dataset as pads

    wanted_rows = (pads.field("split") == split) & pads.field("learn")
    if not pads.dataset(path).count_rows(filter=wanted_rows):  # from_parquet fails on no rows
        return datasets.Dataset.from_dict({"input_ids": [], "labels": [], "length": []})
    table = _map_file(path, wanted_rows, Path(folder, split))

    def encoded(block):
        ids = encode(tokenizer, block["text"].to_pylist(), settings.max_tokens)
        wanted = targets(block, names, settings.targets)
        return {"input_ids": ids, "labels": wanted.tolist(), "length": [len(row) for row in ids]}

    return (
        table.with_format("arrow")
        .map(encoded, batched=True, remove_columns=table.column_names, new_fingerprint="encoded")
        .with_format(None)
    )


def _map_file(path: Path, wanted_rows: "pads.Expression", folder: Path) -> "Dataset":
    """Some rows of a Parquet file, mapped from files in a folder."""
    import datasets

    datasets.disable_progress_bars()
    try:
        return datasets.Dataset.from_parquet(
            str(path),
            columns=["text", "labels", "probabilities", "learn", "split"],
            filters=wanted_rows,
            cache_dir=str(folder),
        )
    except OSError as error:
        if "disk space" in str(error):  # datasets looks itself, and raises without a number
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent)) from error
        raise
