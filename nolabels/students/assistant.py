"""The assistant: a larger student that labels what it has not learned, by cross-fitting."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nolabels.core import models
from nolabels.core.labels import decide, from_column, to_column
from nolabels.core.params import Params, Task
from nolabels.core.params.settings import Assist
from nolabels.core.schemas import train_schema
from nolabels.core.stage import say
from nolabels.core.tables import fixed, is_in_split, matrix, rounded, write_table
from nolabels.students.dataset import read_dataset
from nolabels.students.training import fit, load_base, predict_proba

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SCRATCH = Path(".work/assist")  # what is read while training


def folds_of(ids: list[str], count: int) -> np.ndarray:
    """The fold of each of N ids: by the id alone, so that a larger pool moves no text.

    Parameters
    ----------
    ids : list of str
        Hexadecimal ids.
    count : int
        How many folds there are.

    Returns
    -------
    numpy.ndarray, N, int
        Numbers below `count`.
    """
    return np.array([int(identifier[:8], 16) % count for identifier in ids])


def train_fold(
    table: pa.Table, base: Path, values: Params, settings: Assist
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A model that has learned from a table (see schemas.train_schema), and its tokenizer."""
    import transformers

    device = models.pick_device(values.runtime.device)
    precision = models.pick_precision(settings.precision, device)
    transformers.set_seed(settings.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = load_base(base, values.task, device)
    shutil.rmtree(SCRATCH, ignore_errors=True)  # of the fold before, or of a run that was killed
    names = values.task.labels
    write_table(SCRATCH / "fold.parquet", table, classes=names)
    train, valid = (
        read_dataset(SCRATCH / "fold.parquet", split, tokenizer, names, settings, SCRATCH)
        for split in ("train", "valid")
    )
    fit(model, tokenizer, train, valid, settings, device, precision, SCRATCH)
    shutil.rmtree(SCRATCH)
    return model, tokenizer


def cross_fit(
    table: pa.Table, unseen: dict[str, list[str]], base: Path, values: Params, settings: Assist
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Probabilities from models that have not learned the text.

    Parameters
    ----------
    table : pyarrow.Table
        N rows with the columns of schemas.train_schema: what to learn from.
    unseen : dict of str to list of str
        Further texts, which no model learns from; M in each list.
    base : pathlib.Path
        The folder of the model to fine-tune.
    values : Params
        runtime and task are read.
    settings : Assist
        How to train, and the number of folds.

    Returns
    -------
    numpy.ndarray, N x K
        Of the table's texts: the mean of the models that have not seen the text.
    dict of str to numpy.ndarray, M x K
        Of the further texts: the mean of all models.
    """
    texts, learned = table["text"].to_pylist(), is_learned(table)
    fold = folds_of(table["id"].to_pylist(), settings.folds)
    probabilities = np.zeros((len(table), len(values.task.labels)))
    others = {name: np.zeros((len(some), probabilities.shape[1])) for name, some in unseen.items()}
    judges = np.zeros(len(table))
    for number in range(settings.folds):
        held_out = fold == number
        model, tokenizer = train_fold(table.filter(pa.array(~(held_out & learned))), base, values, settings)
        rows = np.flatnonzero(held_out | ~learned)
        probabilities[rows] += predict_proba(model, tokenizer, [texts[row] for row in rows], settings)
        judges[rows] += 1
        for name, some in unseen.items():
            others[name] = others[name] + predict_proba(model, tokenizer, some, settings) / settings.folds
        say(f"assist: fold {number + 1} of {settings.folds} is done")
    return probabilities / judges[:, None], others


def is_learned(table: pa.Table) -> np.ndarray:
    """Which rows a model learns from: N bool."""
    return is_in_split(table, "train") & table["learn"].to_numpy(zero_copy_only=False)


def assistant_table(
    table: pa.Table, more: pa.Table, of_table: np.ndarray, of_more: np.ndarray, task: Task
) -> pa.Table:
    """The table that the student learns from: the assistant's labels, but where a person has answered.

    Parameters
    ----------
    table : pyarrow.Table
        The pool, N rows with the columns of schemas.train_schema.
    more : pyarrow.Table
        M further texts, with id and text.
    of_table, of_more : numpy.ndarray, N x K and M x K
        The assistant's probabilities of both.
    task : Task
        Which labels there are, and how probabilities become labels.

    Returns
    -------
    pyarrow.Table
        N + M rows with the columns of schemas.train_schema.
    """
    names = task.labels
    person = pc.equal(table["source"], "person").to_numpy(zero_copy_only=False)
    probabilities = np.where(person[:, None], matrix(table["probabilities"]), rounded(of_table))
    answers = np.where(person[:, None], from_column(table["labels"], names), decide(of_table, task))
    probabilities = np.concatenate([probabilities, rounded(of_more)])
    answers = np.concatenate([answers, decide(of_more, task)])
    ids, texts = (
        pa.concat_arrays([part[name].combine_chunks() for part in (table, more)]) for name in ("id", "text")
    )
    columns = {
        "id": ids,
        "text": texts,
        "split": pa.array(table["split"].to_pylist() + ["train"] * len(more), pa.string()),
        "probabilities": fixed(probabilities, np.float32),
        "labels": to_column(answers, names),
        "learn": pa.array(np.ones(len(ids), bool)),
        "source": pa.array(np.where(np.append(person, np.zeros(len(more), bool)), "person", "assistant")),
    }
    return pa.table(columns, schema=train_schema(len(names)))
