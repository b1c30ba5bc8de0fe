"""Answers of people in a column of the source: as text, and as classes."""

import math

from nolabels.core.spelling import NONE, SEPARATOR, join, parse
from nolabels.core.stage import UserError
from nolabels.data.lines import shown


def spelled(path, row, name, value):
    """A gold value as text: 1 and 1.0 are "1", a truth value "true" or "false"; nothing is None.

    A list of values is spelled with ; between them, an empty one as no class.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and not any(isinstance(item, (list, dict, type(None))) for item in value):
        return join(spelled(path, row, name, item) for item in value)
    if isinstance(value, (list, dict)):
        raise UserError(f"{path}: row {row}: {name} must be one value, found {shown(str(value))}")
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def gold_classes(path, gold, task):
    """A function (row, value) -> tuple of class indices, or None where no class answers.

    gold: params.Gold or None; task: params.Task, with multi_label of which a value may name several
    classes ("a; b") or none of them ("(none)"). With `names` a value is a class's name; with `values`
    each value must be named; with `ranges` it must be a number, and what lies in no range has no
    class (a sentence between negative and positive). An absent value (None or "") is no answer.
    """
    if gold is None:
        return lambda row, value: None
    index = {name: number for number, name in enumerate(task.labels)}
    if gold.ranges is not None:
        ranges = [(low, high, index[name]) for name, (low, high) in gold.ranges.items()]

        def by_range(row, value):
            if value is None or value == "":
                return None
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if math.isnan(number):
                raise UserError(f"{path}: row {row}: {gold.column} must be a number, found {shown(value)!r}")
            return next(((found,) for low, high, found in ranges if low <= number <= high), None)

        return by_range
    if gold.names:
        table = index
    else:
        table = {str(value): -1 if name is None else index[name] for value, name in gold.values.items()}

    def by_value(row, value):
        if value is None or (value == "" and "" not in table):
            return None
        found = [table.get(name) for name in parse(value, task.multi_label)]
        if None in found:
            known = shown(", ".join(table))
            several = f", or several with {SEPARATOR!r} between them, or {NONE}" if task.multi_label else ""
            raise UserError(
                f"{path}: row {row}: {gold.column} must be one of {known}{several}, found {shown(value)!r}"
            )
        if found == [-1]:
            return None
        return tuple(sorted({number for number in found if number >= 0}))

    return by_value
