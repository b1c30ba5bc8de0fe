"""The forms of fine-tuning that benchmarks.training compares."""

from dataclasses import dataclass, field

import numpy as np

from nolabels.students import trainer


def longest_first(lengths, batch_size, draw):
    """The order of transformers' LengthGroupedSampler: groups of batches, each from the longest text to the shortest."""
    order = draw.permutation(len(lengths))
    step = batch_size * trainer.GROUP_BATCHES
    groups = [order[start : start + step] for start in range(0, len(order), step)]
    return np.concatenate([group[np.argsort(-lengths[group], kind="stable")] for group in groups])


def averaged_weights():
    """A callback: the mean of the weights after each step of the last epoch (Izmailov et al. 2018, "Averaging Weights
    Leads to Wider Optima and Better Generalization"). No base here has batch statistics that would have to be made anew.
    """
    import transformers
    from torch.optim.swa_utils import AveragedModel

    class Average(transformers.TrainerCallback):
        mean = None

        def on_step_end(self, args, state, control, model=None, **others):
            if state.epoch > args.num_train_epochs - 1:
                self.mean = self.mean or AveragedModel(model)
                self.mean.update_parameters(model)

        def on_train_end(self, args, state, control, model=None, **others):
            model.load_state_dict(self.mean.module.state_dict())

    return Average()


@dataclass(frozen=True)
class Form:
    """What differs from the project's own recipe.

    patches: what stands in for names of nolabels.students.trainer. callbacks: each makes one. first: students of further seeds that learn
    first; the mean of what they say of the texts is what the student learns.
    """

    patches: dict = field(default_factory=dict)
    callbacks: tuple = ()
    first: int = 0


FORMS = {
    "batches from long to short, one rate": Form({"shuffled_batches": longest_first, "HEAD_RATE": 1}),
    "batches in random order, one rate": Form({"HEAD_RATE": 1}),
    "batches in random order, the head at ten times the rate (the recipe)": Form(),
    "the recipe, and the weights averaged over the last epoch": Form(callbacks=(averaged_weights,)),
    "the recipe, and three students averaged and distilled into one": Form(first=3),
}
