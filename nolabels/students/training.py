"""Fine-tuning a sequence classifier on probabilities: what `train` and `assist` share.

The recipe: transformers' Trainer with AdamW, a linear warm-up and decay, and the gradient's norm cut at 1. It differs
from the Trainer's defaults in two points, whose gains stand in benchmarks/quality.md:

- batches hold texts of about one length, in random order. The Trainer's own grouping by length goes from the longest
  batch to the shortest again and again, so that the model ends each round on short texts.
- the new last layer learns at HEAD_RATE times the rate of the pretrained ones (Howard and Ruder 2018, "Universal
  Language Model Fine-tuning for Text Classification", on a rate for each layer).
"""

import errno
import os
import sys
from functools import cached_property
from pathlib import Path

import numpy as np

from nolabels.core.labels import from_column
from nolabels.core.stage import say
from nolabels.core.tables import matrix

PREDICT_BATCH = 64
PREDICT_BLOCK = 16_384  # texts whose tokens are in memory at a time
LOGGED = {"loss": "loss", "valid_loss": "eval_loss", "learning_rate": "learning_rate"}  # ours: the Trainer's
HEAD_RATE = 10
GROUP_BATCHES = 50  # batches whose texts are sorted by length together, as in the Trainer's own grouping


def targets(table, names, kind):
    """N x K float32: how much of each class to learn.

    hard: 1 for a label; soft: the probabilities, of which the teacher's doubt is a part (Hinton,
    Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network").
    """
    wanted = matrix(table["probabilities"]) if kind == "soft" else from_column(table["labels"], names)
    return wanted.astype(np.float32)


def cross_entropy(outputs, labels, num_items_in_batch=None):
    """Mean over the texts of - sum_k target_k log p_k; labels as `targets` gives them."""
    return -(labels * outputs.logits.float().log_softmax(-1)).sum(-1).mean()


def binary_cross_entropy(outputs, labels, num_items_in_batch=None):
    """The same with each class judged by itself, the mean over the classes."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(outputs.logits.float(), labels)


def encode(tokenizer, texts, max_tokens):
    """Lists of token ids, each of at most `max_tokens`."""
    # tokenizers fail on no texts
    return tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"] if texts else []


def lesson(path, split, tokenizer, names, settings, folder):
    """The texts to learn from of a split as a Dataset of input_ids, labels (see `targets`) and length.

    path: a Parquet file with the columns of `schemas.train_schema`. It is read in blocks and mapped from files in
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


def load_base(folder, task, device):
    """A sequence classifier with a new head for the task's labels, in float32.

    The head is new also where the base has one of the same size: a base that somebody trained on labels must not
    bring them in, and one line says that it is such a base. With several labels per text the configuration says
    so, and from which probability on a class holds; transformers' pipeline reads the first.
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
        ignore_mismatched_sizes=True,
    )
    made_for = transformers.AutoConfig.from_pretrained(folder).architectures or []
    if any(name.endswith("ForSequenceClassification") for name in made_for):
        say(f"note: {folder} is a classifier already ({', '.join(made_for)}); its head is made anew")
    fresh = transformers.AutoModelForSequenceClassification.from_config(model.config, dtype=torch.float32)
    for name, child in fresh.named_children():
        if name != model.base_model_prefix:
            setattr(model, name, child)
    model.config.problem_type = f"{'multi' if task.multi_label else 'single'}_label_classification"
    if task.multi_label:
        model.config.threshold = task.threshold
    return model.to(device)


def several(model):
    """Whether the model judges each class by itself."""
    return model.config.problem_type == "multi_label_classification"


def parameter_groups(model, decayed, settings):
    """AdamW's groups: the head at HEAD_RATE times the rate, and no weight decay outside `decayed` (names)."""
    groups = {}
    for name, parameter in model.named_parameters():
        head = not name.startswith(f"{model.base_model_prefix}.")
        groups.setdefault((head, name in decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": settings.learning_rate * (HEAD_RATE if head else 1),
            "weight_decay": settings.weight_decay if decay else 0.0,
        }
        for (head, decay), parameters in groups.items()
    ]


def shuffled_batches(lengths, batch_size, draw):
    """Indices of N texts: batches of about one length, one after the other, in random order.

    lengths: N; draw: numpy Generator. The last batch may be a smaller one.
    """
    order = draw.permutation(len(lengths))
    step = batch_size * GROUP_BATCHES
    groups = [order[start : start + step] for start in range(0, len(order), step)]
    order = np.concatenate([group[np.argsort(lengths[group], kind="stable")] for group in groups])
    whole = len(order) // batch_size * batch_size
    batches = draw.permutation(order[:whole].reshape(-1, batch_size))
    return np.concatenate([batches.reshape(-1), order[whole:]])


def make_arguments(device):
    """The Trainer's arguments for one device of a process, a torch device name.

    Left to itself the Trainer takes every GPU into DataParallel, which makes a step several times `batch_size`, and
    begins with the first one. Where accelerate or torchrun started several processes each keeps the GPU it was given.
    """
    import torch
    import transformers

    class Arguments(transformers.TrainingArguments):
        @cached_property
        def _setup_devices(self):
            found = super()._setup_devices
            several = self.parallel_mode == transformers.training_args.ParallelMode.DISTRIBUTED
            if several or not device.startswith("cuda"):
                return found
            self._n_gpu = 1
            chosen = torch.device(device if ":" in device else "cuda:0")
            torch.cuda.set_device(chosen)
            return chosen

    return Arguments


def make_trainer():
    """The Trainer with the two differences that the head of this module names."""
    import torch
    import transformers

    class LengthBatches(torch.utils.data.Sampler):
        """Another order for each epoch, the same for each run."""

        def __init__(self, lengths, batch_size, seed):
            self.lengths, self.batch_size = np.asarray(lengths), batch_size
            self.draw = np.random.default_rng(seed)

        def __len__(self):
            return len(self.lengths)

        def __iter__(self):
            return iter(shuffled_batches(self.lengths, self.batch_size, self.draw).tolist())

    class Trainer(transformers.Trainer):
        def __init__(self, *args, settings, **kwargs):
            super().__init__(*args, **kwargs)
            self.settings = settings

        def _get_train_sampler(self, train_dataset=None):
            # the dataset that comes as an argument has lost the columns that the model does not take
            return LengthBatches(self.train_dataset["length"], self.args.train_batch_size, self.settings.seed)

        def create_optimizer(self, model=None):
            if self.optimizer is None:
                model = self.model if model is None else model
                made, options = self.get_optimizer_cls_and_kwargs(self.args, model)
                decayed = set(self.get_decay_parameter_names(model))
                self.optimizer = made(parameter_groups(model, decayed, self.settings), **options)
            return self.optimizer

    return Trainer


def fit(model, tokenizer, train, valid, settings, device, precision, folder, callbacks=()):
    """Trains with transformers' Trainer; returns its log: a list of dicts with step, loss or eval_loss.

    train, valid: Datasets as of `lesson`; valid only watches the loss and may hold no text. callbacks: further
    ones of the Trainer.
    """
    import transformers

    arguments = make_arguments(device)(
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
        disable_tqdm=not sys.stderr.isatty(),
        dataloader_pin_memory=device != "cpu",
        average_tokens_across_devices=False,  # the losses are means over texts, whatever the device
    )
    step = arguments.train_batch_size * arguments.world_size  # texts, on all devices
    steps = -(-len(train) // step) * settings.epochs
    arguments.warmup_steps = round(settings.warmup * steps)
    arguments.logging_steps = max(1, steps // 50)
    trainer = make_trainer()(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=valid if len(valid) else None,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        compute_loss_func=binary_cross_entropy if several(model) else cross_entropy,
        callbacks=list(callbacks),
        settings=settings,
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
