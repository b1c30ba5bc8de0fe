"""transformers' Trainer with the two differences that nolabels.students.training names."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nolabels.core.params import Learning

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel, Trainer, TrainingArguments

HEAD_RATE = 10
GROUP_BATCHES = 50  # batches whose texts are sorted by length together, as in the Trainer's own grouping


def parameter_groups(model: "PreTrainedModel", decayed: set[str], settings: Learning) -> list[dict[str, Any]]:
    """AdamW's groups: the head at HEAD_RATE times the rate, and weight decay for `decayed` (names) alone."""
    groups: dict[tuple[bool, bool], list] = {}
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


def shuffled_batches(lengths: np.ndarray, batch_size: int, draw: np.random.Generator) -> np.ndarray:
    """Batches of texts of about one length, in random order.

    Parameters
    ----------
    lengths : numpy.ndarray, N
        Of the texts, in tokens.
    batch_size : int
        Texts in a batch; the last batch may be smaller.
    draw : numpy.random.Generator
        Where the random order comes from.

    Returns
    -------
    numpy.ndarray, N
        Indices of the texts, one batch after the other.
    """
    order = draw.permutation(len(lengths))
    step = batch_size * GROUP_BATCHES
    groups = [order[start : start + step] for start in range(0, len(order), step)]
    order = np.concatenate([group[np.argsort(lengths[group], kind="stable")] for group in groups])
    whole = len(order) // batch_size * batch_size
    batches = draw.permutation(order[:whole].reshape(-1, batch_size))
    return np.concatenate([batches.reshape(-1), order[whole:]])


def make_arguments(device: str) -> "type[TrainingArguments]":
    """The class of the Trainer's arguments for one device of a process, a torch device name.

    Left to itself the Trainer takes every GPU into DataParallel, which makes a step several times `batch_size`, and
    begins with the first one. Where accelerate or torchrun started several processes each keeps the GPU it was given.
    """
    import torch
    import transformers

    class Arguments(transformers.TrainingArguments):
        @cached_property
        def _setup_devices(self):
            default = super()._setup_devices
            several = self.parallel_mode == transformers.training_args.ParallelMode.DISTRIBUTED
            if several or not device.startswith("cuda"):
                return default
            self._n_gpu = 1
            chosen = torch.device(device if ":" in device else "cuda:0")
            torch.cuda.set_device(chosen)
            return chosen

    return Arguments


def make_trainer() -> "Callable[..., Trainer]":
    """The class of the Trainer, with the two differences that the head of nolabels.students.training names."""
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
