"""Trains the assistant, a larger student, and has it label the pool and texts that no teacher reads.

Progressive distillation (Mirzadeh et al. 2020, "Improved Knowledge Distillation via Teacher Assistant"): the assistant
learns from the teacher's labels, and the student from the assistant's. No text is labeled by a model that has learned
from it: one model is trained for each fold, on the other folds, and a label is the mean of the models that have not
seen the text (cross-fitting). What people answered stays as it is.

usage: python -m stages.assist large data/teacher_train.parquet data/more.parquet models/assistant data/dev.parquet \\
           data/test.parquet data/assistant_train.parquet data/assistant_dev.parquet data/assistant_test.parquet
"""

import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nolabels.core import models, params, speed
from nolabels.core.labels import decide, from_column, to_column
from nolabels.core.schemas import train_schema
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import (
    fixed,
    is_in_split,
    matrix,
    read_table,
    rounded,
    write_predictions,
    write_table,
)
from nolabels.students.training import fit, lesson, load_base, predict

LESSON = Path(".work/assist")  # what is read while training


def folds_of(ids, count):
    """The fold of each id, N numbers below `count`: by the id alone, so that a larger pool moves no text."""
    return np.array([int(identifier[:8], 16) % count for identifier in ids])


def train_fold(table, base, values, settings):
    """A model that has learned from a table (see schemas.train_schema), and its tokenizer."""
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

    table: what to learn from (see schemas.train_schema); unseen: {name: list of texts}. Returns N x K and
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


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("name", help="key under `assist`")
    for name, what in (
        ("table", "what to learn from"),
        ("more", "texts that no teacher reads"),
        ("base", "folder of the model to fine-tune"),
        ("dev", "dev texts, without answers"),
        ("test", "test texts, without answers"),
        ("out", "table to write: what the student learns from"),
        ("dev_answers", "table to write: the assistant's answers on dev"),
        ("test_answers", "table to write: the assistant's answers on test"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task, names, settings = values.task, values.task.labels, values.assist[args.name]

    versions = models.versions("torch", "transformers")
    models.use_threads(values.runtime.threads)
    table = read_table(args.table)
    more, dev, test = (read_table(path, ["id", "text"]) for path in (args.more, args.dev, args.test))
    unseen = {name: part["text"].to_pylist() for name, part in (("more", more), ("dev", dev), ("test", test))}
    started = time.perf_counter()
    found, others = cross_fit(table, unseen, args.base, values, settings)
    seconds = time.perf_counter() - started
    write_table(args.out, assisted(table, more, found, others["more"], task), classes=names)
    device = models.pick_device(values.runtime.device)
    facts = {
        "kind": "assistant",
        "megabytes": models.megabytes(args.base),
        "precision": models.pick_precision(settings.precision, device),
        "versions": versions,
    }
    for part, answers, path in (("dev", dev, args.dev_answers), ("test", test, args.test_answers)):
        given = others[part]
        labels = to_column(decide(given, task), names)
        write_predictions(path, answers["id"], given, labels, names, model=facts)
    speed.record("assist", int(is_learned(table).sum()), seconds, device)
    say(
        f"assist: {len(table)} pool texts and {len(more)} further ones labeled by {settings.folds} models in {seconds:.0f} s"
    )


if __name__ == "__main__":
    run(main)
