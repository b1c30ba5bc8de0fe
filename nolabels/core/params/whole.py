"""The whole of params.yaml: its sections, and the rules between them."""

import math
from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, model_validator

from nolabels.core.params.assets import Endpoint, Fetch, Learner
from nolabels.core.params.sample import Sample
from nolabels.core.params.settings import Assist, Export, Label, Report, Runtime, Select, Train
from nolabels.core.params.task import Task
from nolabels.core.params.teachers import Score
from nolabels.core.params.values import Name, Section


class Params(Section):
    task: Task
    fetch: Fetch
    sample: Sample
    score: Annotated[dict[Name, Score], Field(min_length=1)]
    label: Label
    select: Select
    assist: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z0-9]{1,8}$")], Assist], Field(max_length=1)]
    train: Train
    export: Export
    report: Report
    runtime: Runtime

    @model_validator(mode="after")
    def _known_teachers(self) -> Self:
        for name, score in self.score.items():
            if name not in self.fetch.models:
                raise ValueError(
                    f"score.{name}: must be named like a model of fetch.models ({', '.join(self.fetch.models)})"
                )
            self._check_teacher(name, score)
        return self

    def _check_teacher(self, name: str, score: Score) -> None:
        served = isinstance(self.fetch.models[name], Endpoint)
        if served != (score.kind == "endpoint"):
            raise ValueError(
                f"score.{name}.kind: must be endpoint where fetch.models.{name} is an endpoint, and there alone, "
                f"found {score.kind}"
            )
        if served and self.runtime.engine != "local":
            raise ValueError(f"runtime.engine: must be local for an endpoint, found {self.runtime.engine}")
        if served and self.runtime.endpoint is None:
            raise ValueError("runtime.endpoint: is missing; it says how an endpoint is asked")
        if any(template.described for template in score.templates):
            bare = [item.name for item in self.task.classes if item.description is None]
            if bare:
                raise ValueError(
                    f"task.classes: each needs a description, which a template asks for; {bare[0]!r} has none"
                )

    @model_validator(mode="after")
    def _bases_and_assistant(self) -> Self:
        asked = "assistant" if self.assist else "teacher"
        if self.train.labels != asked:
            raise ValueError(
                f"train.labels: must be {asked} where assist "
                f"{'names one' if self.assist else 'is {}'}, found {self.train.labels}"
            )
        learners = {"train": self.train, **{f"assist.{name}": one for name, one in self.assist.items()}}
        for key, settings in learners.items():
            if not isinstance(self.fetch.models.get(settings.base), Learner):
                raise ValueError(
                    f"{key}.base: must name a model of fetch.models that can be fine-tuned "
                    f"({', '.join(self.fetch.models)}), found {settings.base}"
                )
        if self.sample.more != 0 and not self.assist:
            raise ValueError(
                f"sample.more: must be 0 where assist is {{}}, since only an assistant labels them, found {self.sample.more}"
            )
        return self

    @model_validator(mode="after")
    def _known_classes(self) -> Self:
        gold = self.sample.gold
        named: dict[str, Iterable[str]] = {
            "label.prior": self.label.prior if isinstance(self.label.prior, dict) else {}
        }
        if gold is not None:
            named["sample.gold.ranges"] = gold.ranges or {}
            named["sample.gold.values"] = [name for name in (gold.values or {}).values() if name is not None]
        for key, names in named.items():
            for name in names:
                if name not in self.task.labels:
                    raise ValueError(
                        f"{key}: must name classes of task.classes ({', '.join(self.task.labels)}), found {name!r}"
                    )
        return self

    @model_validator(mode="after")
    def _prior_of_the_classes(self) -> Self:
        prior = self.label.prior
        equal = prior in ("auto", "uniform")
        if self.task.multi_label and self.label.calibration == "prior_matching" and equal:
            raise ValueError(
                "label.prior: must give every class the share of texts that have it, in (0, 1), for "
                f"prior_matching with task.multi_label, found {prior}; or set label.calibration to none"
            )
        if not isinstance(prior, dict):
            return self
        if set(prior) != set(self.task.names):
            raise ValueError(f"label.prior: must give every class a share, found {prior}")
        if not self.task.multi_label and not math.isclose(sum(prior.values()), 1, abs_tol=1e-6):
            raise ValueError(f"label.prior: must be in all 1, found {prior}")
        if max(prior.values()) >= 1:
            raise ValueError(f"label.prior: must be below 1 for each class, found {prior}")
        return self
