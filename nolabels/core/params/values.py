"""What every section of params.yaml is made of: the model and the types of single values."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def number(value):
    """A number, also in the form 2e-05 that DVC writes and YAML 1.1 reads as text."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value):
        return float(value)
    return value


def quoted(value):
    if isinstance(value, bool):
        raise ValueError(
            f"must be text; YAML reads an unquoted yes, no, on or off as {str(value).lower()}: put it in quotes"
        )
    return value


def holds(*places):
    def check(value):
        for place in places:
            if value.count(place) != 1:
                raise ValueError(f"must hold {place} exactly once")
        return value

    return AfterValidator(check)


def like(pattern, what):
    """Text of a form; `what` says which, for people who do not read patterns."""

    def check(value):
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {what}")
        return value

    return Annotated[str, AfterValidator(check)]


Float = Annotated[float, BeforeValidator(number)]
Text = Annotated[str, BeforeValidator(quoted), Field(min_length=1)]
HubName = like(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", "OWNER/NAME as the hub has it")
Sha256 = like(r"[0-9a-f]{64}", "64 hex digits")
Precision = Literal["auto", "float32", "bfloat16"]
Share = Annotated[float, BeforeValidator(number), Field(gt=0, le=1)]

# of a model under fetch.models, and so of a folder in models/, which holds the student and your own models too
Name = like(
    r"(?!(own|student)$)[a-z][a-z0-9_]{0,15}",
    "1 to 16 small letters, digits and _, the first a letter, and neither own nor student",
)
