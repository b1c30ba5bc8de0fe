"""`score`: the kind, the templates and the reading of each teacher."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nolabels.core.params.values import Precision, Section, Text, contains_once

# what a template of each kind of teacher consists of
FORMS = {
    "likelihood": (("chat", "answer"), ("plain",)),
    "entailment": (("hypothesis",),),
    "similarity": (("class_text",), ("class_text", "text")),
    "endpoint": (("plain",),),
}
Kind = Literal["likelihood", "entailment", "similarity", "endpoint"]


def _keys_of(form: tuple[str, ...]) -> str:
    """The keys of a form, for messages."""
    return " and ".join(form)


class Template(Section):
    """One way to ask, in the form of its kind of teacher: see FORMS and params.yaml."""

    chat: Annotated[str, contains_once("{text}")] | None = None
    answer: Annotated[str, contains_once("{class}")] | None = None
    plain: Annotated[str, contains_once("{text}", "{class}")] | None = None
    hypothesis: Annotated[str, contains_once("{class}")] | None = None
    class_text: Text | None = None
    text: Annotated[str, contains_once("{text}")] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = {form for forms in FORMS.values() for form in forms}
        if self.form not in forms:
            known = ", or ".join(_keys_of(form) for form in sorted(forms))
            raise ValueError(f"needs {known}; found {_keys_of(self.form) or 'nothing'}")
        if self.class_text and "{class}" not in self.class_text and not self.described:
            raise ValueError(f"class_text must hold {{class}} or {{description}}, found {self.class_text!r}")
        whole = self.plain or (self.chat or "") + (self.answer or "")
        if whole and whole.index("{text}") > whole.index("{class}"):
            raise ValueError("{text} must come before {class}")
        return self

    @property
    def form(self) -> tuple[str, ...]:
        """The keys that are given, in the order of FORMS."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def described(self) -> bool:
        """Whether it asks for the description of a class."""
        return "{description}" in (self.class_text or "")


class Score(Section):
    kind: Kind
    templates: Annotated[list[Template], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=8)]
    long_text: Literal["truncate", "chunk"]
    stride: Annotated[int, Field(ge=0)] | None
    precision: Precision | Literal["int8"]

    @model_validator(mode="after")
    def _distinct_templates(self) -> Self:
        for index, template in enumerate(self.templates):
            if template in self.templates[:index]:
                raise ValueError(f"templates must differ; number {index + 1} stands twice")
        return self

    @model_validator(mode="after")
    def _templates_of_the_kind(self) -> Self:
        for index, template in enumerate(self.templates):
            if template.form not in FORMS[self.kind]:
                wanted = ", or ".join(_keys_of(form) for form in FORMS[self.kind])
                raise ValueError(
                    f"templates of kind {self.kind} need {wanted}; number {index + 1} has {_keys_of(template.form)}"
                )
        return self

    @model_validator(mode="after")
    def _one_embedding(self) -> Self:
        forms = sorted({template.text or "{text}" for template in self.templates})
        if len(forms) > 1:
            raise ValueError(f"templates of one teacher must have the same text, found {' and '.join(forms)}")
        return self

    @model_validator(mode="after")
    def _stride_of_chunks(self) -> Self:
        if (self.stride is not None) != (self.long_text == "chunk"):
            raise ValueError(
                "stride must be a number with long_text: chunk and null with long_text: truncate, "
                f"found {self.stride} with {self.long_text}"
            )
        if self.stride is not None and self.stride >= self.max_tokens:
            raise ValueError(f"stride must be less than max_tokens {self.max_tokens}, found {self.stride}")
        return self

    @model_validator(mode="after")
    def _precision_of_the_kind(self) -> Self:
        if self.kind == "endpoint" and self.precision != "auto":
            raise ValueError(
                f"precision must be auto for an endpoint, whose server chooses, found {self.precision}"
            )
        if self.kind != "entailment" and self.precision == "int8":
            raise ValueError(f"precision int8 is for kind entailment, found {self.kind}")
        return self
