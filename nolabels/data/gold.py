"""Answers of people in a column of the source: as text, and as classes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nolabels.core.spelling import NONE, SEPARATOR, join, parse
from nolabels.core.stage import UserError
from nolabels.data.lines import shown

if TYPE_CHECKING:  # `classify` needs no pydantic
    from nolabels.core.params import Gold, Task

NO_CLASS = -1  # of a value that `sample.gold.values` maps to null


def gold_text(path: Path, row: int, column: str, value: Any) -> str | None:
    """A value of jsonl or parquet as the text that it would be in a csv.

    Parameters
    ----------
    path, row, column : Path, int, str
        Where the value stands, for messages.
    value : object
        The value. 1 and 1.0 become "1", a truth value "true" or "false", a list its values with ; between them, an
        empty list "(none)".

    Returns
    -------
    str or None
        None where there is no value: None or NaN.

    Raises
    ------
    UserError
        Where the value is a mapping, or a list that holds more than single values.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        texts = [gold_text(path, row, column, item) for item in value]
        names = [text for text in texts if text is not None]
        if len(names) == len(value):
            return join(names)
    if isinstance(value, (list, dict)):
        raise UserError(f"{path}: row {row}: {column} must be one value, found {shown(str(value))}")
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def gold_classes(
    path: Path, gold: "Gold | None", task: "Task"
) -> Callable[[int, str | None], tuple[int, ...] | None]:
    """How the values of the gold column become classes.

    An absent value (None or "") is no answer. With `names` a value is a class's name; with `values` each value must be
    named; with `ranges` it must be a number, and what lies in no range is no answer (a sentence between negative and
    positive).

    Parameters
    ----------
    path : Path
        The file, for messages.
    gold : Gold or None
        The gold column; None where no answers are read.
    task : Task
        With multi_label a value may name several classes ("a; b"), or none of them ("(none)").

    Returns
    -------
    callable
        (row, value) -> indices of classes, or None where there is no answer. It raises UserError for a value that
        stands for no class.
    """
    if gold is None:
        return lambda row, value: None
    index = {name: number for number, name in enumerate(task.labels)}
    if gold.ranges is not None:
        return _by_range(path, gold.column, [(*gold.ranges[name], index[name]) for name in gold.ranges])
    if gold.names:
        return _by_value(path, gold.column, index, task.multi_label)
    assert gold.values is not None  # one of ranges, names and values is there: Gold sees to it
    table = {str(value): NO_CLASS if name is None else index[name] for value, name in gold.values.items()}
    return _by_value(path, gold.column, table, task.multi_label)


def _by_range(path: Path, column: str, ranges: list[tuple[float, float, int]]) -> Callable:
    """gold_classes for numbers. ranges: (low, high, class)."""

    def to_classes(row, value):
        if value is None or value == "":
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise UserError(f"{path}: row {row}: {column} must be a number, found {shown(value)!r}")
        return next(((label,) for low, high, label in ranges if low <= number <= high), None)

    return to_classes


def _by_value(path: Path, column: str, table: dict[str, int], multi_label: bool) -> Callable:
    """gold_classes for values that stand for classes. table: {value: class, or NO_CLASS where it is no answer}."""

    def to_classes(row, value):
        if value is None or (value == "" and "" not in table):
            return None
        labels = [table.get(name) for name in parse(value, multi_label)]
        if None in labels:
            known = shown(", ".join(table))
            several = f", or several with {SEPARATOR!r} between them, or {NONE}" if multi_label else ""
            raise UserError(
                f"{path}: row {row}: {column} must be one of {known}{several}, found {shown(value)!r}"
            )
        if labels == [NO_CLASS]:
            return None
        return tuple(sorted({label for label in labels if label != NO_CLASS}))

    return to_classes
