"""params.yaml from its text, with one line for what is wrong in it."""

import re
from pathlib import Path

import yaml
from pydantic import ValidationError

from nolabels.core.params.whole import Params
from nolabels.core.stage import UserError

PATH = Path("params.yaml")


def load(path: Path = PATH) -> Params:
    """params.yaml as Params. Raises UserError with one line that names key, rule and value."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: must be UTF-8 text ({error})") from error
    return check(parse(text, path), path)


def parse(text: str, path: Path | str) -> dict:
    """The sections of a params file from its text.

    Parameters
    ----------
    text : str
        YAML.
    path : Path or str
        How messages name the file.

    Returns
    -------
    dict
        The sections, not checked.

    Raises
    ------
    UserError
        Where the text is no YAML, or holds no sections.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the file"
        raise UserError(f"{path}: {where}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except (ValueError, RecursionError) as error:  # a date that is none, brackets without an end
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold sections, found {type(data).__name__}")
    return data


def check(data: dict, path: Path | str) -> Params:
    """The sections of a params file as Params.

    Parameters
    ----------
    data : dict
        The sections.
    path : Path or str
        How messages name the file.

    Returns
    -------
    Params

    Raises
    ------
    UserError
        With one line that names key, rule and value.
    """
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{path}: {_describe(error)}") from error


def _describe(error: ValidationError) -> str:
    """The first error of pydantic, as key: rule, found value."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if str(part)[0] not in "<[")
    if first["type"] == "missing":
        return f"{key}: is missing"
    if first["type"] == "extra_forbidden":
        return f"{key}: is not a known parameter, found {first['input']!r}"
    rule, value = first["msg"].removeprefix("Value error, "), first["input"]
    if first["type"] != "value_error":
        rule = re.sub(r"^[A-Z]\w+ should ", "must ", rule).replace(" after validation", "")
        rule = re.sub(r" or instance of \w+", "", rule)
    line = f"{key}: {rule}" if key else rule
    if isinstance(value, dict) or "found" in rule:  # the rule names the value itself
        return line
    return f"{line}, found {f'{len(value)} items' if isinstance(value, list) else repr(value)}"
