"""Fine-tunes the student on the labels that `select` chose, and answers the dev and test texts with it.

usage: python -m stages.train data/train.parquet models/base data/dev.parquet data/test.parquet models/student \\
           data/student_dev.parquet data/student_test.parquet plots/training.csv plots/live
"""

import csv
import errno
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from nolabels import models, params, speed
from nolabels.labels import decide, from_column, to_column
from nolabels.stage import arguments, run, say
from nolabels.tables import matrix, read_table, write_predictions

LESSON = Path(".work/lesson")  # what is read while training; /tmp is memory on some machines
PREDICT_BATCH = 64
PREDICT_BLOCK = 16_384  # texts whose tokens are in memory at a time
LOGGED = {"loss": "loss", "valid_loss": "eval_loss", "learning_rate": "learning_rate"}  # ours: the Trainer's


def targets(table, names, kind):
    """N x (K + 1): how much of each class to learn, and last the text's weight.

    hard: 1 for a label; soft: the probabilities, of which the teacher's doubt is a part (Hinton,
    Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network").
    """
    wanted = matrix(table["probabilities"]) if kind == "soft" else from_column(table["labels"], names)
    return np.column_stack([wanted, table["weight"].to_numpy()]).astype(np.float32)


def cross_entropy(outputs, labels, num_items_in_batch=None):
    """Weighted mean over the texts of - sum_k target_k log p_k; labels as `targets` gives them."""
    losses = -(labels[:, :-1] * outputs.logits.float().log_softmax(-1)).sum(-1)
    return (losses * labels[:, -1]).mean()


def binary_cross_entropy(outputs, labels, num_items_in_batch=None):
    """The same with each class judged by itself, the mean over the classes."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    losses = binary_cross_entropy_with_logits(outputs.logits.float(), labels[:, :-1], reduction="none")
    return (losses.mean(-1) * labels[:, -1]).mean()


def encode(tokenizer, texts, max_tokens):
    # tokenizers fail on no texts
    return tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"] if texts else []


def lesson(path, split, tokenizer, names, settings, folder):
    """The weighted texts of a split as a Dataset of input_ids, labels (see `targets`) and length.

    It is read in blocks and mapped from files in `folder`, so that ten million texts need no memory.
    """
    import datasets
    import pyarrow.dataset as pads

    wanted_rows = (pads.field("split") == split) & (pads.field("weight") > 0)
    if not pads.dataset(path).count_rows(filter=wanted_rows):  # from_parquet fails on no rows
        return datasets.Dataset.from_dict({"input_ids": [], "labels": [], "length": []})
    datasets.disable_progress_bars()
    try:
        table = datasets.Dataset.from_parquet(
            str(path),
            columns=["text", "labels", "probabilities", "weight", "split"],
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


def load_base(folder, task, device):
    """A sequence classifier with a new last layer for the task's labels, in float32.

    With several labels per text its configuration says so, and from which probability on a class
    holds; transformers' pipeline reads the first.
    """
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    labels = dict(enumerate(task.labels))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder,
        dtype=torch.float32,
        use_safetensors=True,
        id2label=labels,
        label2id={name: index for index, name in labels.items()},
    )
    model.config.problem_type = f"{'multi' if task.multi_label else 'single'}_label_classification"
    if task.multi_label:
        model.config.threshold = task.threshold
    return model.to(device)


def several(model):
    """Whether the model judges each class by itself."""
    return model.config.problem_type == "multi_label_classification"


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


def fit(model, tokenizer, train, valid, settings, device, precision, folder, callbacks=()):
    """Trains with transformers' Trainer; returns its log: a list of dicts with step, loss or eval_loss.

    train, valid: Datasets as of `lesson`; valid only watches the loss and may hold no text. callbacks: further
    ones of the Trainer.
    """
    import transformers

    arguments = transformers.TrainingArguments(
        output_dir=folder,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=PREDICT_BATCH,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        eval_strategy="epoch" if len(valid) else "no",
        save_strategy="no",
        report_to="none",
        use_cpu=device == "cpu",
        bf16=precision == "bfloat16",
        train_sampling_strategy="group_by_length",  # little padding: texts of a batch are about as long
        disable_tqdm=not sys.stderr.isatty(),
        dataloader_pin_memory=device != "cpu",
        average_tokens_across_devices=False,  # the losses are means over texts, whatever the device
    )
    step = arguments.train_batch_size * arguments.world_size  # texts, on all devices
    steps = -(-len(train) // step) * settings.epochs
    arguments.warmup_steps = round(settings.warmup * steps)
    arguments.logging_steps = max(1, steps // 50)
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=valid if len(valid) else None,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        compute_loss_func=binary_cross_entropy if several(model) else cross_entropy,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return trainer.state.log_history


def predict(model, tokenizer, texts, settings):
    """N x K probabilities, in the order of the texts; batches hold texts of about one length."""
    import torch

    found = np.zeros((len(texts), model.config.num_labels), np.float32)
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(texts), PREDICT_BLOCK):
            ids = encode(tokenizer, texts[first : first + PREDICT_BLOCK], settings.max_tokens)
            order = np.argsort([len(row) for row in ids], kind="stable")
            for start in range(0, len(order), PREDICT_BATCH):
                rows = order[start : start + PREDICT_BATCH]
                batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
                logits = model(**batch.to(model.device)).logits.float()
                shares = logits.sigmoid() if several(model) else logits.softmax(-1)
                found[first + rows] = shares.cpu().numpy()
    return found


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

    models.save(model, tokenizer, args.student)
    write_curve(args.curve, log)
    facts = {
        "kind": "student",
        "parameters": model.num_parameters(),
        "megabytes": models.megabytes(args.student),
        "versions": versions,
    }
    for texts_path, path in ((args.dev, args.dev_answers), (args.test, args.test_answers)):
        table = read_table(texts_path, ["id", "text"])
        found = predict(model, tokenizer, table["text"].to_pylist(), settings)
        write_predictions(path, table["id"], found, to_column(decide(found, task), names), names, model=facts)
    steps = log[-1]["step"]
    speed.record("train", texts * settings.epochs, seconds, steps=steps)
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
    unseen = f", loss on the teacher's unseen labels {losses[-1]:.3f}" if losses else ""
    say(
        f"train: {len(train['labels'])} texts x {settings.epochs} epochs, {steps} steps in {seconds:.0f} s{unseen}"
    )


if __name__ == "__main__":
    run(main)
