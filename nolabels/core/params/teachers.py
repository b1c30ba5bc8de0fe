"""`score`: the kind, the templates and the reading of each teacher."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nolabels.core.params.values import Precision, Section, Text, holds

# what a template of each kind of teacher consists of
FORMS = {
    "likelihood": (("chat", "answer"), ("plain",)),
    "entailment": (("hypothesis",),),
    "similarity": (("class_text",), ("class_text", "text")),
    "endpoint": (("plain",),),
}
Kind = Literal["likelihood", "entailment", "similarity", "endpoint"]


def told(form):
    return " and ".join(form)


class Template(Section):
    """One way to ask, in the form of its kind of teacher: see FORMS and params.yaml."""

    chat: Annotated[str, holds("{text}")] | None = None
    answer: Annotated[str, holds("{class}")] | None = None
    plain: Annotated[str, holds("{text}", "{class}")] | None = None
    hypothesis: Annotated[str, holds("{class}")] | None = None
    class_text: Text | None = None
    text: Annotated[str, holds("{text}")] | None = None

    @model_validator(mode="after")
    def one_form(self):
        forms = {form for forms in FORMS.values() for form in forms}
        if self.form not in forms:
            known = ", or ".join(told(form) for form in sorted(forms))
            raise ValueError(f"needs {known}; found {told(self.form) or 'nothing'}")
        if self.class_text and "{class}" not in self.class_text and not self.described:
            raise ValueError(f"class_text must hold {{class}} or {{description}}, found {self.class_text!r}")
        whole = self.plain or (self.chat or "") + (self.answer or "")
        if whole and whole.index("{text}") > whole.index("{class}"):
            raise ValueError("{text} must come before {class}")
        return self

    @property
    def form(self):
        """The keys that are given, in the order of FORMS."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def described(self):
        """Whether it asks for the description of a class."""
        return "{description}" in (self.class_text or "")


class Score(Section):
    kind: Kind
    templates: Annotated[list[Template], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=8)]
    long_text: Literal["truncate", "chunk"]
    stride: Annotated[int, Field(ge=0)] | None
    precision: Precision

    @model_validator(mode="after")
    def distinct(self):
        for index, template in enumerate(self.templates):
            if template in self.templates[:index]:
                raise ValueError(f"templates must differ; number {index + 1} stands twice")
        return self

    @model_validator(mode="after")
    def of_one_kind(self):
        for index, template in enumerate(self.templates):
            if template.form not in FORMS[self.kind]:
                wanted = ", or ".join(told(form) for form in FORMS[self.kind])
                raise ValueError(
                    f"templates of kind {self.kind} need {wanted}; number {index + 1} has {told(template.form)}"
                )
        return self

    @model_validator(mode="after")
    def one_embedding(self):
        forms = sorted({template.text or "{text}" for template in self.templates})
        if len(forms) > 1:
            raise ValueError(f"templates of one teacher must have the same text, found {' and '.join(forms)}")
        return self

    @model_validator(mode="after")
    def long_texts(self):
        if (self.stride is not None) != (self.long_text == "chunk"):
            raise ValueError(
                "stride must be a number with long_text: chunk and null with long_text: truncate, "
                f"found {self.stride} with {self.long_text}"
            )
        if self.stride is not None and self.stride >= self.max_tokens:
            raise ValueError(f"stride must be less than max_tokens {self.max_tokens}, found {self.stride}")
        return self

    @model_validator(mode="after")
    def served(self):
        if self.kind == "endpoint" and self.precision != "auto":
            raise ValueError(
                f"precision must be auto for an endpoint, whose server chooses, found {self.precision}"
            )
        return self
