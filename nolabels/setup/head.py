"""The first rows of a file: its format, its columns and their values."""

import json
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from nolabels.core.stage import UserError
from nolabels.data.gold import gold_text
from nolabels.data.lines import check_unicode, read_lines, shown
from nolabels.data.parquet import column_values, open_parquet
from nolabels.data.records import csv_records, tsv_records
from nolabels.setup.formats import is_name

HEAD = 1000  # rows that the columns are judged by


@dataclass(frozen=True)
class Head:
    """The first rows of a file.

    Attributes
    ----------
    form : str
        A value of sample.format.
    columns : list of str or None
        The names to give to the columns of a csv or tsv without a header row, else None.
    values : dict
        {column: its values in up to HEAD rows, as text, None where there is none}; empty for txt.
    texts : list of str
        The columns that may hold texts, in order; empty for txt.
    """

    form: str
    columns: list[str] | None
    values: dict[str, list[str | None]]
    texts: list[str]


def read_head(
    path: Path, form: str, wanted: set[str], classes: Collection[str], decide: Callable[[str], bool]
) -> Head:
    """The first rows of a file.

    Parameters
    ----------
    path : Path
        The file.
    form : str
        Its format.
    wanted : set of str
        The columns that the person named.
    classes : collection of str
        Names of the classes.
    decide : callable
        Asks the person whether a first row, given as text, names the columns, and returns the answer.

    Returns
    -------
    Head

    Raises
    ------
    UserError
        Where the file holds no rows, or no columns.
    """
    if form == "txt":
        return Head(form, None, {}, [])
    if form in ("csv", "tsv"):
        return _head_of_table(path, form, wanted, classes, decide)
    values, texts = (_head_of_parquet if form == "parquet" else _head_of_jsonl)(path)
    return Head(form, None, values, texts)


def _head_of_table(
    path: Path, form: str, wanted: set[str], classes: Collection[str], decide: Callable[[str], bool]
) -> Head:
    """read_head for csv and tsv."""
    records: Iterable[tuple[int, list[str] | UserError]]
    records = csv_records(path) if form == "csv" else tsv_records(path)
    rows = [
        (row, values) for row, values in islice(records, HEAD) if values and not isinstance(values, UserError)
    ]
    if not rows:
        raise UserError(f"{path}: row 1: must hold texts, found no row that can be read")
    (_, first), *others = rows
    equal = [values for _, values in others if len(values) == len(first)]
    if others and not equal:
        row, values = others[0]
        raise UserError(
            f"{path}: row {row}: must have {len(first)} columns as row 1 ({shown(', '.join(first))}), found "
            f"{len(values)}; in a csv a value with a comma needs quotes"
        )
    columns: list[tuple[str, ...]] = list(zip(*equal, strict=True)) or [()] * len(first)
    header = is_header(first, columns, wanted, classes)
    if header is None:
        header = decide(shown(" | ".join(first)))
    names = first if header else [f"column_{number}" for number in range(1, len(first) + 1)]
    for name in names:
        check_unicode(path, 1, "the name of a column", name)
    if not header:
        columns = [(value, *column) for value, column in zip(first, columns, strict=True)]
    table: dict[str, list[str | None]] = {
        name: list(column) for name, column in zip(names, columns, strict=True)
    }
    texts = [name for name in names if name and names.count(name) == 1]
    return Head(form, None if header else names, table, texts)


def _head_of_jsonl(path: Path) -> tuple[dict[str, list[str | None]], list[str]]:
    """Columns are the keys of the objects. A line that is no object is passed over: read_rows refuses it."""
    rows = []
    for _, line in islice(read_lines(path), HEAD):
        with suppress(ValueError, RecursionError):
            rows.append(json.loads(line))
    rows = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return _as_text(path, columns)


def _head_of_parquet(path: Path) -> tuple[dict[str, list[str | None]], list[str]]:
    import pyarrow as pa

    try:
        with open_parquet(path, []) as file:
            batch = next(file.iter_batches(HEAD), None)
    except (EOFError, zlib.error, pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        message = shown(" ".join(str(error).split()))
        raise UserError(f"{path}: row 1: not a readable parquet file ({message})") from error
    if batch is None:
        raise UserError(f"{path}: row 1: must hold texts, found no rows")
    names = batch.schema.names
    columns = {name: batch.column(names.index(name)) for name in names if names.count(name) == 1}
    return _as_text(path, {name: column_values(path, 0, name, column) for name, column in columns.items()})


def _as_text(
    path: Path, columns: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, list[str | None]], list[str]]:
    """The values of columns as text, and the columns that hold text alone."""
    values, texts = {}, []
    for name, column in columns.items():
        if all(value is None or isinstance(value, str) for value in column) and any(column):
            texts.append(name)
        values[name] = [
            gold_text(path, 1, name, value) if isinstance(value, (str, bool, int, float)) else None
            for value in column
        ]
    return values, texts


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def is_header(
    first: Sequence[str], rest: Sequence[Sequence[str]], wanted: set[str], classes: Collection[str]
) -> bool | None:
    """Whether the first row names the columns.

    Parameters
    ----------
    first : sequence of str
        The values of the row.
    rest : sequence of sequence of str
        The values below each.
    wanted : set of str
        The columns that the person named.
    classes : collection of str
        Names of the classes.

    Returns
    -------
    bool or None
        None where it may be both.
    """
    if wanted & set(first):
        return True
    given = [value for value in first if value.strip()]  # the name of an index column is often empty
    if len(set(given)) < len(given) or not all(is_name(value) for value in given):
        return False
    if any(_is_number(value) or value in classes for value in given):
        return False
    if any(value in column for value, column in zip(first, rest, strict=True) if value):
        return False
    return True if all(len(value.split()) == 1 for value in given) else None
