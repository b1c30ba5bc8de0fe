"""The forms of the recipe that benchmarks.quality compares, as presets, and the tasks that it runs them on."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import yaml

from nolabels.core import params
from nolabels.setup.presets import FOLDER


def preset(name: str) -> dict[str, Any]:
    """The values of a preset."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def notebook() -> dict[str, Any]:
    """The notebook's recipe with the models of the default: one prompt as it answers, transformers' own settings."""
    template = params.load().score["teacher"].templates[0].model_dump(exclude_none=True)
    models = preset("reviews-small")["fetch"]["models"]
    learning = {"epochs": 5, "learning_rate": 5e-5, "batch_size": 8, "warmup": 0.0, "weight_decay": 0.0}
    return {
        "fetch": {"models": models},
        "score": {"teacher": {"templates": [template]}, "base": None},
        "label": {"calibration": "none", "temperature": 1.0, "refine": "never"},
        "train": {"base": "encoder", "targets": "hard", **learning},
    }


def without(values: dict[str, Any], *path: str) -> dict[str, Any]:
    """The values without a key: that of params.yaml holds again."""
    key, *rest = path
    kept = {name: value for name, value in values.items() if name != key}
    return kept | {key: without(values[key], *rest)} if rest else kept


def forms(most: int | None = None) -> dict[str, dict[str, Any]]:
    """Presets by name, each of which adds one thing to the one before.

    Parameters
    ----------
    most : int or None
        Texts that the teachers read for the last three forms. None: the whole zone, and as many as the shipped
        `sample.pool` for the one with an assistant.
    """
    steps = [("the notebook's recipe", notebook())]

    def add(name: str, values: dict[str, Any]) -> None:
        steps.append((name, values))

    add("+ calibration", without(steps[-1][1], "label", "calibration"))
    add("+ four templates", without(steps[-1][1], "score", "teacher"))
    add("+ a sentence encoder as second teacher", without(without(steps[-1][1], "score"), "label", "refine"))
    add("+ soft targets", without(without(steps[-1][1], "label"), "train", "targets"))
    add("+ a base of 109 M (the default)", {})
    small = preset("reviews-small")
    more = preset("reviews-best")
    add("+ all text", more | {"sample": more["sample"] | {"pool": most}})
    learner = {"train": without(small["train"], "labels"), "fetch": small["fetch"]}
    add("22.7 M, all text", learner | {"sample": {"pool": most}})
    asked = {} if most is None else {"pool": most}
    add("22.7 M, with an assistant", small | {"sample": small["sample"] | asked})
    return dict(steps)


BEFORE = {later: earlier for earlier, later in pairwise(list(forms()))}
# the small student of all text has the same base as the form before the larger one came
BEFORE |= {"22.7 M, all text": "+ soft targets", "22.7 M, with an assistant": "22.7 M, all text"}


@dataclass(frozen=True)
class Task:
    """Where the texts come from (a difference from params.yaml), and how many `forms` takes."""

    values: dict[str, Any]
    most: int | None


SAMPLE = {"format": "csv", "columns": None, "text": "text", "gold": {"column": "label", "names": True}}


TASKS = {
    "reviews": Task({}, None),
    "phrases": Task(
        {
            "fetch": {"dataset": {"own": "phrases.csv"}},
            "sample": {**SAMPLE, "zones": {"test": 0.1, "dev": 0.2, "pool": 0.7}, "dev": None},
        },
        8000,
    ),
}
