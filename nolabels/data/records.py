"""The texts of a file, row by row; a broken row is an error with its location, and the rows behind it are read.

A file that `readers` reads for the pipeline must be whole. Here a file is somebody's to classify, or to look at.
"""

import csv
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.lines import check_columns, check_unicode, describe_csv, read_lines, shown, stripped
from nolabels.data.parquet import BATCH_ROWS, open_parquet
from nolabels.data.readers import json_record

WINDOW = 8192  # rows that are read, sorted by length and answered at a time; memory grows with it
Row = tuple[Path, int, str]  # file, row, text
FORMS = ("txt", "csv", "tsv", "jsonl", "parquet")
LONGEST_VALUE = 1 << 20  # letters in quotes of a csv; a quote that is never closed must not take the rest


def form_of(path: Path, forms: Container[str]) -> str | None:
    """The format that a file's name ends in, .gz aside.

    Parameters
    ----------
    path : Path
        The file, such as a.csv or a.csv.gz.
    forms : container of str
        The formats to look for.

    Returns
    -------
    str or None
        One of `forms`, or None.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    return suffix[1:] if suffix[1:] in forms else None


def rows_of(path: Path, form: str, column: str) -> Iterator[tuple[int, str | UserError]]:
    """The texts of a file, in order, in bounded memory.

    Parameters
    ----------
    path : Path
        The file.
    form : str
        One of FORMS.
    column : str
        The column of the texts; for txt it is not looked at.

    Yields
    ------
    tuple of (int, str or UserError)
        Row and text, or row and what is wrong with it.

    Raises
    ------
    UserError
        Where nothing can be read from there on: a missing column, no gzip data.
    """
    rows: Iterator[tuple[int, str | UserError | None]]
    if form == "txt":
        rows = stripped(read_lines(path))
    elif form == "jsonl":
        rows = _from_jsonl(path, column)
    elif form == "parquet":
        rows = _from_parquet(path, column)
    else:
        records: Iterable[tuple[int, list[str] | UserError]]
        records = csv_records(path) if form == "csv" else tsv_records(path)
        rows = _from_delimited(path, column, records)
    for row, text in rows:
        try:
            if isinstance(text, UserError):
                raise text
            if text is None:
                raise UserError(f"{path}: row {row}: {column} must be text, found none")
            if not text.isascii():
                check_unicode(path, row, column if form != "txt" else None, text)
        except UserError as error:
            yield row, error
        else:
            yield row, text


def _from_jsonl(path: Path, column: str) -> Iterator[tuple[int, str | UserError | None]]:
    for row, line in read_lines(path):
        if line.strip():
            try:
                yield row, json_record(path, row, line.rstrip(), column)[column]
            except UserError as error:
                yield row, error


def tsv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields (row, values); tabs, no quotes: a value holds neither tab nor line end."""
    return ((row, line.split("\t") if line else []) for row, line in stripped(read_lines(path)))


def csv_records(path: Path) -> Iterator[tuple[int, list[str] | UserError]]:
    """Yields (row, values), or (row, UserError) after which the next line begins a row.

    What a broken row took of the lines behind it, as a quote that is not closed does, is read again.
    """
    csv.field_size_limit(LONGEST_VALUE)
    lines = read_lines(path)
    taken: list[tuple[int, str]] = []
    waiting: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        while True:
            if not waiting:
                waiting.extend(islice(lines, 1))
            if not waiting:
                return
            taken.append(waiting.pop(0))
            yield taken[-1][1]

    reader = csv.reader(feed(), strict=True)
    while True:
        taken.clear()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = taken[0][0]
            waiting[:0] = taken[1:]
            yield row, UserError(f"{path}: row {row}: {describe_csv(str(error))}")
            reader = csv.reader(feed(), strict=True)
        else:
            yield taken[0][0], values


def _from_delimited(
    path: Path, column: str, records: Iterable[tuple[int, list[str] | UserError]]
) -> Iterator[tuple[int, str | UserError]]:
    """(row, text) of the named column; the first row names the columns."""
    names = None
    for row, values in records:
        if isinstance(values, UserError):
            if names is None:
                raise values
            yield row, values
        elif not values:
            continue
        elif names is None:
            names = values
            check_columns(path, names, [column])
            index = names.index(column)
        elif len(values) != len(names):
            rule = f"must have {len(names)} columns ({shown(', '.join(names))}), found {len(values)}"
            yield row, UserError(f"{path}: row {row}: {rule}")
        else:
            yield row, values[index]
    if names is None:
        raise UserError(f"{path}: row 1: must hold texts, found blank lines only")


def _from_parquet(path: Path, column: str) -> Iterator[tuple[int, str | UserError | None]]:
    import pyarrow as pa

    row = 0
    try:
        with open_parquet(path, [column]) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=[column]):
                for value in batch.column(column):
                    row += 1
                    try:
                        text = value.as_py()
                    except UnicodeDecodeError:
                        yield row, UserError(f"{path}: row {row}: {column} must be UTF-8")
                        continue
                    if text is not None and not isinstance(text, str):
                        text = UserError(
                            f"{path}: row {row}: {column} must be text, found {shown(str(text))}"
                        )
                    yield row, text
    except (pa.ArrowException, OSError, EOFError) as error:
        message = shown(" ".join(str(error).split()))
        raise UserError(f"{path}: row {row + 1}: not a readable parquet file ({message})") from error


class ErrorLog:
    """Prints and counts errors in rows."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, error: UserError) -> None:
        """Prints one error on standard error."""
        self.count += 1
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)


def windows(sources: Sequence[tuple[Path, str]], column: str, errors: ErrorLog) -> Iterator[list[Row]]:
    """Yields lists of rows, without the broken ones.

    Parameters
    ----------
    sources : sequence of (Path, str)
        Each file with its form, one of FORMS.
    column : str
        The column of the texts.
    errors : ErrorLog
        Told of each broken row.

    Yields
    ------
    list of Row
        Up to WINDOW rows.
    """
    window = []
    for path, form in sources:
        try:
            for row, text in rows_of(path, form, column):
                if isinstance(text, UserError):
                    errors.add(text)
                    continue
                window.append((path, row, text))
                if len(window) == WINDOW:
                    yield window
                    window = []
        except UserError as error:
            errors.add(error)
    if window:
        yield window
