"""Fine-tunes the student on the labels that `select` chose, and answers the dev and test texts with it.

usage: python -m stages.train data/teacher_train.parquet models/base data/dev.parquet data/test.parquet models/student \\
           data/student_dev.parquet data/student_test.parquet plots/training.csv plots/live
"""

import os
import shutil
import time
from pathlib import Path

from nolabels.core import models, params, speed
from nolabels.core.labels import decide, to_column
from nolabels.core.stage import path_arguments, run, say
from nolabels.core.tables import read_table, write_predictions
from nolabels.reporting.card import student_card
from nolabels.students.curves import live_callback, write_curve
from nolabels.students.dataset import read_dataset
from nolabels.students.training import fit, load_base, predict_proba

SCRATCH = Path(".work/lesson")  # what is read while training; /tmp is memory on some machines
PATHS = {
    "table": "what to learn from",
    "base": "folder of the model to fine-tune",
    "dev": "dev texts, without answers",
    "test": "test texts, without answers",
    "student": "folder to write: the student",
    "dev_answers": "table to write: the student's answers on dev",
    "test_answers": "table to write: the student's answers on test",
    "curve": "csv to write: loss while training",
    "live": "folder that shows the same while it comes",
}


def train_student(args, values, device, precision, rank):
    """The trained model, its tokenizer, how many texts it has learned, the Trainer's log, and the seconds.

    rank: the number of this process, where accelerate or torchrun started several.
    """
    import transformers

    settings = values.train
    transformers.set_seed(settings.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.base)
    model = load_base(args.base, values.task, device)
    folder = SCRATCH / str(rank)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    train, valid = (
        read_dataset(args.table, split, tokenizer, values.task.labels, settings, folder)
        for split in ("train", "valid")
    )
    texts, started = len(train), time.perf_counter()
    log = fit(model, tokenizer, train, valid, settings, device, precision, folder, [live_callback(args.live)])
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return model, tokenizer, texts, log, seconds


def write_answers(args, model, tokenizer, values, facts):
    """Writes the student's answers on dev and on test."""
    task = values.task
    for texts_path, path in ((args.dev, args.dev_answers), (args.test, args.test_answers)):
        table = read_table(texts_path, ["id", "text"])
        probabilities = predict_proba(model, tokenizer, table["text"].to_pylist(), values.train)
        labels = to_column(decide(probabilities, task), task.labels)
        write_predictions(path, table["id"], probabilities, labels, task.labels, model=facts)


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    values = params.load()
    settings, rank = values.train, int(os.environ.get("RANK", 0))
    versions = models.versions("torch", "transformers")
    device = models.pick_device(values.runtime.device)
    precision = models.pick_precision(settings.precision, device)
    models.use_threads(values.runtime.threads)
    model, tokenizer, texts, log, seconds = train_student(args, values, device, precision, rank)
    if rank:
        return  # the first process writes what all have learned

    card = student_card(values.task, settings, texts, {**versions, "precision": precision})
    models.save_model(model, tokenizer, args.student, card)
    write_curve(args.curve, log)
    facts = {
        "kind": "student",
        "parameters": model.num_parameters(),
        "megabytes": models.megabytes(args.student),
        "precision": precision,
        "versions": versions,
    }
    write_answers(args, model, tokenizer, values, facts)
    steps = log[-1]["step"]
    speed.record("train", texts * settings.epochs, seconds, device, steps=steps)
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
    unseen = f", loss on the teacher's unseen labels {losses[-1]:.3f}" if losses else ""
    say(f"train: {texts} texts x {settings.epochs} epochs, {steps} steps in {seconds:.0f} s{unseen}")


if __name__ == "__main__":
    run(main)
