"""Fine-tunes the student on the labels that `select` chose, and answers the dev and test texts with it.

usage: python -m stages.train data/teacher_train.parquet models/base data/dev.parquet data/test.parquet models/student \\
           data/student_dev.parquet data/student_test.parquet plots/training.csv plots/live
"""

import csv
import os
import shutil
import time
from pathlib import Path

from nolabels.core import models, params, speed
from nolabels.core.labels import decide, to_column
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import read_table, write_predictions
from nolabels.reporting.card import student_card
from nolabels.students.training import LOGGED, fit, lesson, load_base, predict

LESSON = Path(".work/lesson")  # what is read while training; /tmp is memory on some machines


def watched(folder):
    """A callback of the Trainer that writes what it logs into `folder` while it learns, with DVCLive.

    For people and for DVC's extension and Studio, which read such a folder; no out, so nothing depends on it.
    """
    import dvclive
    import transformers

    class Watched(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            # dvc.yaml stays as it is, and what an experiment is stays with `dvc exp`
            self.live = dvclive.Live(str(folder), dvcyaml=None, save_dvc_exp=False)

        def on_log(self, args, state, control, logs=None, **kwargs):
            self.live.step = state.global_step
            for name, key in LOGGED.items():
                if key in logs:
                    self.live.log_metric(name, float(logs[key]))
            self.live.make_summary()

        def on_train_end(self, args, state, control, **kwargs):
            self.live.end()

    return Watched()


def write_curve(path, log):
    """step, epoch, loss, valid_loss, learning_rate: one line for each time something was logged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {}
    for entry in log:
        row = rows.setdefault(entry["step"], {"step": entry["step"], "epoch": round(entry["epoch"], 3)})
        for name, key in LOGGED.items():
            if key in entry:
                row[name] = f"{entry[key]:.6g}"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["step", "epoch", *LOGGED], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows.values() if "loss" in row or "valid_loss" in row)


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("table", "what to learn from"),
        ("base", "folder of the model to fine-tune"),
        ("dev", "dev texts, without answers"),
        ("test", "test texts, without answers"),
        ("student", "folder to write: the student"),
        ("dev_answers", "table to write: the student's answers on dev"),
        ("test_answers", "table to write: the student's answers on test"),
        ("curve", "csv to write: loss while training"),
        ("live", "folder that shows the same while it comes"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task, names, settings = values.task, values.task.labels, values.train

    import transformers

    versions = models.versions("torch", "transformers")
    device = models.pick_device(values.runtime.device)
    precision = models.pick_precision(settings.precision, device)
    models.use_threads(values.runtime.threads)
    transformers.set_seed(settings.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.base)
    model = load_base(args.base, task, device)
    rank = int(os.environ.get("RANK", 0))  # of this process, where accelerate or torchrun started several
    folder = LESSON / str(rank)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    train, valid = (
        lesson(args.table, split, tokenizer, names, settings, folder) for split in ("train", "valid")
    )
    texts, started = len(train), time.perf_counter()
    log = fit(model, tokenizer, train, valid, settings, device, precision, folder, [watched(args.live)])
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    if rank:
        return  # the first process writes what all have learned

    made = {**versions, "precision": precision}
    models.save(model, tokenizer, args.student, student_card(task, settings, texts, made))
    write_curve(args.curve, log)
    facts = {
        "kind": "student",
        "parameters": model.num_parameters(),
        "megabytes": models.megabytes(args.student),
        "precision": precision,
        "versions": versions,
    }
    for texts_path, path in ((args.dev, args.dev_answers), (args.test, args.test_answers)):
        table = read_table(texts_path, ["id", "text"])
        found = predict(model, tokenizer, table["text"].to_pylist(), settings)
        write_predictions(path, table["id"], found, to_column(decide(found, task), names), names, model=facts)
    steps = log[-1]["step"]
    speed.record("train", texts * settings.epochs, seconds, device, steps=steps)
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
    unseen = f", loss on the teacher's unseen labels {losses[-1]:.3f}" if losses else ""
    say(
        f"train: {len(train['labels'])} texts x {settings.epochs} epochs, {steps} steps in {seconds:.0f} s{unseen}"
    )


if __name__ == "__main__":
    run(main)
