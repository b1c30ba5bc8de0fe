"""Fine-tuning a sequence classifier on probabilities: what `train` and `assist` share.

The recipe: transformers' Trainer with AdamW, a linear warm-up and decay, and the gradient's norm cut at 1. It differs
from the Trainer's defaults in two points (benchmarks/training.md has what they bring, and what others do not):

- batches hold texts of about one length, in random order. The Trainer's own grouping by length goes from the longest
  batch to the shortest again and again, so that the model ends each round on short texts.
- the new last layer learns at HEAD_RATE times the rate of the pretrained ones (Howard and Ruder 2018, "Universal
  Language Model Fine-tuning for Text Classification", on a rate for each layer).
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nolabels.core.batches import on_each_core, pass_tokens, token_batches
from nolabels.core.params import Learning, Task
from nolabels.core.stage import say
from nolabels.students.dataset import encode
from nolabels.students.trainer import make_arguments, make_trainer

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainingArguments

EVALUATED_TEXTS = 64  # in a batch of the Trainer, where it measures the loss
PREDICT_BLOCK = 16_384  # texts whose tokens are in memory at a time


def _cross_entropy(
    outputs: Any, labels: "torch.Tensor", num_items_in_batch: int | None = None
) -> "torch.Tensor":
    """Mean over the texts of - sum_k target_k log p_k; labels as `targets` gives them."""
    return -(labels * outputs.logits.float().log_softmax(-1)).sum(-1).mean()


def _binary_cross_entropy(
    outputs: Any, labels: "torch.Tensor", num_items_in_batch: int | None = None
) -> "torch.Tensor":
    """The same with each class judged by itself, the mean over the classes."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(outputs.logits.float(), labels)


def load_base(folder: str | Path, task: Task, device: str) -> "PreTrainedModel":
    """A sequence classifier with a new head for the task's labels, in float32.

    The head is new also where the base has one of the same size: a base that somebody trained on labels must not
    bring them in, and one line says that it is such a base. With several labels per text the configuration says
    so, and from which probability on a class holds; transformers' pipeline reads the first.

    Parameters
    ----------
    folder : path
        Of the base model.
    task : Task
        labels, multi_label and threshold are read.
    device : str
        A torch device name.
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


def _is_multi_label(model: "PreTrainedModel") -> bool:
    """Whether the model judges each class by itself."""
    return model.config.problem_type == "multi_label_classification"


def fit(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    train: "Dataset",
    valid: "Dataset",
    settings: Learning,
    device: str,
    precision: str,
    folder: str | Path,
    callbacks: "Sequence[TrainerCallback]" = (),
) -> list[dict[str, Any]]:
    """Trains a model, in place, with transformers' Trainer.

    Parameters
    ----------
    model, tokenizer
        The model as `load_base` makes it, and its tokenizer.
    train, valid : datasets.Dataset
        As of dataset.read_dataset; valid only watches the loss and may hold no text.
    settings, device, precision, folder
        How to train, on which torch device, in float32 or bfloat16, and where the Trainer may write.
    callbacks : sequence of transformers.TrainerCallback
        Further ones.

    Returns
    -------
    list of dict
        The Trainer's log: step, epoch, and loss or eval_loss.
    """
    import transformers

    arguments = _trainer_arguments(settings, device, precision, folder, bool(len(valid)))
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
        compute_loss_func=_binary_cross_entropy if _is_multi_label(model) else _cross_entropy,
        callbacks=list(callbacks),
        settings=settings,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return trainer.state.log_history


def _trainer_arguments(
    settings: Learning, device: str, precision: str, folder: str | Path, validates: bool
) -> "TrainingArguments":
    """The Trainer's arguments, but for what hangs on the number of texts; validates: whether there are valid texts."""
    return make_arguments(device)(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=EVALUATED_TEXTS,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        eval_strategy="epoch" if validates else "no",
        save_strategy="no",
        report_to="none",
        use_cpu=device == "cpu",
        bf16=precision == "bfloat16",
        disable_tqdm=not sys.stderr.isatty(),
        dataloader_pin_memory=device != "cpu",
        average_tokens_across_devices=False,  # the losses are means over texts, whatever the device
    )


def predict_proba(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", texts: list[str], settings: Learning
) -> np.ndarray:
    """Probabilities of the classes; batches hold texts of about one length.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A sequence classifier.
    tokenizer : transformers.PreTrainedTokenizerBase
        Of the model.
    texts : list of str
        N texts.
    settings : Learning
        max_tokens is read.

    Returns
    -------
    numpy.ndarray, N x K, float32
        In the order of the texts.
    """
    import torch

    model.eval()

    @torch.inference_mode()
    def shares_of(rows: list[int]) -> np.ndarray:
        batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
        logits = model(**batch.to(model.device)).logits.float()
        shares = logits.sigmoid() if _is_multi_label(model) else logits.softmax(-1)
        return shares.cpu().numpy()

    device = model.device.type
    probabilities = np.zeros((len(texts), cast(int, model.config.num_labels)), np.float32)
    for first in range(0, len(texts), PREDICT_BLOCK):
        ids = encode(tokenizer, texts[first : first + PREDICT_BLOCK], settings.max_tokens)
        batches = token_batches([len(row) for row in ids], pass_tokens(device))
        for rows, shares in zip(batches, on_each_core(shares_of, batches, device), strict=True):
            probabilities[first + np.array(rows)] = shares
    return probabilities
