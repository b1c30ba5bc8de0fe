"""What every section of params.yaml is made of: the model and the types of single values."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, no conversion of types, not changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _number(value: Any) -> Any:
    """A number, also in the form 2e-05 that DVC writes and YAML 1.1 reads as text."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value):
        return float(value)
    return value


def _quoted(value: Any) -> Any:
    """No truth value where text must stand."""
    if isinstance(value, bool):
        raise ValueError(
            f"must be text; YAML reads an unquoted yes, no, on or off as {str(value).lower()}: put it in quotes"
        )
    return value


def contains_once(*placeholders: str) -> AfterValidator:
    """A validator: text that holds each placeholder, such as {text}, exactly once."""

    def validate(value: str) -> str:
        for placeholder in placeholders:
            if value.count(placeholder) != 1:
                raise ValueError(f"must hold {placeholder} exactly once")
        return value

    return AfterValidator(validate)


def matching(pattern: str, description: str) -> AfterValidator:
    """A validator: text that matches a pattern as a whole.

    Parameters
    ----------
    pattern : str
        A regular expression.
    description : str
        What the text must be, for people who do not read patterns.

    Returns
    -------
    pydantic.AfterValidator
    """

    def validate(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {description}")
        return value

    return AfterValidator(validate)


Float = Annotated[float, BeforeValidator(_number)]
Text = Annotated[str, BeforeValidator(_quoted), Field(min_length=1)]
HubName = Annotated[
    str, matching(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", "OWNER/NAME as the hub has it")
]
Sha256 = Annotated[str, matching(r"[0-9a-f]{64}", "64 hex digits")]
Precision = Literal["auto", "float32", "bfloat16"]
Share = Annotated[float, BeforeValidator(_number), Field(gt=0, le=1)]

# of a model under fetch.models, and so of a folder in models/, which holds the student and your own models too
Name = Annotated[
    str,
    matching(
        r"(?!(own|student)$)[a-z][a-z0-9_]{0,15}",
        "1 to 16 small letters, digits and _, the first a letter, and neither own nor student",
    ),
]
