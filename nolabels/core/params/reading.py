"""params.yaml from its text, with one line for what is wrong in it."""

import re
from pathlib import Path

import yaml
from pydantic import ValidationError

from nolabels.core.params.whole import Params
from nolabels.core.stage import UserError

PATH = Path("params.yaml")


def load(path=PATH):
    """params.yaml as Params. Raises UserError with one line that names key, rule and value."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: must be UTF-8 text ({error})") from error
    return check(parse(text, path), path)


def parse(text, path):
    """The sections of a params file from its text; path: for messages. Raises UserError."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else "the file"
        raise UserError(f"{path}: {place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except (ValueError, RecursionError) as error:  # a date that is none, brackets without an end
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold sections, found {type(data).__name__}")
    return data


def check(data, path):
    """Sections as Params; path: for messages. Raises UserError."""
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from error


def describe(error):
    """The first thing that pydantic found wrong, as key: rule, found value."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if str(part)[0] not in "<[")
    if first["type"] == "missing":
        return f"{key}: is missing"
    if first["type"] == "extra_forbidden":
        return f"{key}: is not a known parameter, found {first['input']!r}"
    rule, found = first["msg"].removeprefix("Value error, "), first["input"]
    if first["type"] != "value_error":
        rule = re.sub(r"^[A-Z]\w+ should ", "must ", rule).replace(" after validation", "")
        rule = re.sub(r" or instance of \w+", "", rule)
    told = isinstance(found, dict) or "found" in rule  # the rule names the value itself
    rule = f"{key}: {rule}" if key else rule
    return (
        rule
        if told
        else f"{rule}, found {len(found)} items"
        if isinstance(found, list)
        else f"{rule}, found {found!r}"
    )
