"""`task`: the classes, and whether a text has one or several."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from nolabels.core.params.values import Float, Section, Text
from nolabels.core.spelling import NONE, SEPARATOR


class Class(Section):
    name: Text
    words: Text
    description: Text | None = None


class Task(Section):
    classes: Annotated[list[Class], Field(min_length=2, max_length=150)]
    multi_label: bool
    threshold: Annotated[Float, Field(gt=0, lt=1)]
    reject: Text | None

    @model_validator(mode="after")
    def _distinct_classes(self) -> Self:
        for field in ("name", "words"):
            values = [getattr(item, field) for item in self.classes]
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"each class needs a {field} of its own; {value!r} stands twice")
        return self

    @model_validator(mode="after")
    def _another_reject(self) -> Self:
        if self.reject in self.names:
            raise ValueError(f"reject must be another name than the classes have, found {self.reject!r}")
        if self.multi_label and self.reject is not None:
            raise ValueError(
                "reject must be null with multi_label, where a text may have none of the classes, "
                f"found {self.reject!r}"
            )
        return self

    @model_validator(mode="after")
    def _separable_names(self) -> Self:
        for name in self.names if self.multi_label else []:
            if SEPARATOR in name or name != name.strip() or name == NONE:
                raise ValueError(
                    f"with multi_label a class must be told apart in a list: no {SEPARATOR!r}, no space at "
                    f"its ends, not {NONE!r}; found {name!r}"
                )
        return self

    @property
    def names(self) -> list[str]:
        """Names of the classes: what the student answers."""
        return [item.name for item in self.classes]

    @property
    def labels(self) -> list[str]:
        """What a text can be labeled as: the names of the classes, and `reject` where there is one."""
        return self.names + ([] if self.reject is None else [self.reject])

    @property
    def words(self) -> list[str]:
        """The verbalizers of the classes: what the teachers read."""
        return [item.words for item in self.classes]

    @property
    def descriptions(self) -> dict[str, str]:
        """{words: description} of the classes that have one."""
        return {item.words: item.description for item in self.classes if item.description is not None}
