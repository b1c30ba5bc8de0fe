"""The assistant: a larger student that labels what it has not learned."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nolabels.core import models
from nolabels.core.labels import decide, from_column, to_column
from nolabels.core.stage import say
from nolabels.core.tables import fixed, is_in_split, matrix, rounded, train_schema, write_table
from nolabels.students.dataset import lesson
from nolabels.students.training import fit, load_base, predict

LESSON = Path(".work/assist")  # what is read while training


def folds_of(ids, count):
    """The fold of each id, N numbers below `count`: by the id alone, so that a larger pool moves no text."""
    return np.array([int(identifier[:8], 16) % count for identifier in ids])


def train_fold(table, base, values, settings):
    """A model that has learned from a table (see tables.train_schema), and its tokenizer."""
    import transformers

    device = models.pick_device(values.runtime.device)
    precision = models.pick_precision(settings.precision, device)
    transformers.set_seed(settings.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = load_base(base, values.task, device)
    shutil.rmtree(LESSON, ignore_errors=True)  # of the fold before, or of a run that was killed
    names = values.task.labels
    write_table(LESSON / "fold.parquet", table, classes=names)
    train, valid = (
        lesson(LESSON / "fold.parquet", split, tokenizer, names, settings, LESSON)
        for split in ("train", "valid")
    )
    fit(model, tokenizer, train, valid, settings, device, precision, LESSON)
    shutil.rmtree(LESSON)
    return model, tokenizer


def cross_fit(table, unseen, base, values, settings):
    """Probabilities from models that have not learned the text: of the table's N texts, and of each of `unseen`.

    table: what to learn from (see tables.train_schema); unseen: {name: list of texts}. Returns N x K and
    {name: M x K}.
    """
    texts, learned = table["text"].to_pylist(), is_learned(table)
    fold = folds_of(table["id"].to_pylist(), settings.folds)
    found = np.zeros((len(table), len(values.task.labels)))
    others = dict.fromkeys(unseen, 0.0)
    judges = np.zeros(len(table))
    for number in range(settings.folds):
        held_out = fold == number
        model, tokenizer = train_fold(table.filter(pa.array(~(held_out & learned))), base, values, settings)
        rows = np.flatnonzero(held_out | ~learned)
        found[rows] += predict(model, tokenizer, [texts[row] for row in rows], settings)
        judges[rows] += 1
        for name, some in unseen.items():
            others[name] = others[name] + predict(model, tokenizer, some, settings) / settings.folds
        say(f"assist: fold {number + 1} of {settings.folds} is done")
    return found / judges[:, None], others


def is_learned(table):
    """Which rows a model learns from: N bool."""
    return is_in_split(table, "train") & table["learn"].to_numpy(zero_copy_only=False)


def assisted(table, more, found, more_found, task):
    """The table that the student learns from: the pool and the further texts, with the assistant's labels.

    found, more_found: probabilities of the table's and of the further texts. A person's answer stays.
    """
    names = task.labels
    person = pc.equal(table["source"], "person").to_numpy(zero_copy_only=False)
    probabilities = np.where(person[:, None], matrix(table["probabilities"]), rounded(found))
    answers = np.where(person[:, None], from_column(table["labels"], names), decide(found, task))
    probabilities = np.concatenate([probabilities, rounded(more_found)])
    answers = np.concatenate([answers, decide(more_found, task)])
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
