"""The tasks as benchmarks/tasks.yaml describes them, and as parameters of the pipeline."""

from pathlib import Path

import yaml

from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.setup import merging

WORDING = Path("benchmarks/tasks.yaml")
WORK = Path(".work/tasks")  # what the benchmarks of the tasks keep
FAMILY_OF_DEFAULT = (
    "movie reviews"  # of tasks.yaml: the source of the shipped params.yaml has the same sentences
)
# of the shipped params.yaml, and what the page calls them; there is no NLI model on the package index
TEACHERS = {"teacher": "SmolLM2", "encoder": "MiniLM", "base": "mpnet"}


class Item(params.Section):
    """One task; see the comments of tasks.yaml."""

    title: str
    what: str
    file: str
    texts: int
    family: str | None
    publication: str
    licence: str
    classes: list[params.Class]
    templates: dict[str, list[params.Template]]
    sizes: dict[str, int]

    @property
    def rated(self):
        return self.file.endswith(".txt")


class Wording(params.Section):
    source: params.Package
    encoder: params.Package
    zones: dict[str, float]
    tasks: dict[str, Item]
    later: dict[str, Item]

    @property
    def all(self):
        return self.tasks | self.later


def family_of(name, family):
    """What a task counts as in a mean over families; SUBJ shares its sentences with the reviews."""
    return FAMILY_OF_DEFAULT if name == "subj" else family or name


def wording():
    """tasks.yaml as Wording."""
    return Wording.model_validate(yaml.safe_load(WORDING.read_text(encoding="utf-8")))


def difference(name):
    """What differs from the shipped params.yaml for a task, by section."""
    known = wording()
    if name not in known.all:
        raise UserError(f"NAME: must be one of {', '.join(known.all)}, found {name}")
    item = known.all[name]
    sample = {
        "format": "parquet",
        "columns": None,
        "text": "text",
        "gold": {"column": "label", "names": True},
        "zones": known.zones,
        **item.sizes,
    }
    templates = {
        kind: [one.model_dump(exclude_none=True) for one in some] for kind, some in item.templates.items()
    }
    kinds = {"teacher": "likelihood", "encoder": "similarity", "base": "similarity"}
    encoder = {
        "kind": "similarity",
        "max_tokens": 256,
        "long_text": "truncate",
        "stride": None,
        "precision": "auto",
    }
    return {
        "task": {"classes": [one.model_dump() for one in item.classes]},
        "fetch": {
            "dataset": {"own": f"{name}.parquet"},
            "models": {"encoder": known.encoder.model_dump()},
        },
        "sample": sample,
        "score": {
            one: (encoder if one == "encoder" else {}) | {"templates": templates[kind]}
            for one, kind in kinds.items()
        },
        "label": {"refine": "auto", "prior": "uniform"},  # benchmarks/shares.py asks for others
        # most of the licences do not allow to hand texts on
        "report": {"show_texts": False, "note": None, "license": None, "language": None},
    }


def whole(name):
    """params.Params of a task."""
    shipped = yaml.safe_load(params.PATH.read_text(encoding="utf-8"))
    return params.Params.model_validate(merging.merged(shipped, difference(name)))
