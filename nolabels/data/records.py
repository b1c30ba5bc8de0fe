"""The texts of a file, row by row; a broken row is told with its place, and the rows behind it are read.

What `readers` reads for the pipeline must be whole; here a file is somebody's to classify, or to look at.
"""

import csv
from itertools import islice
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.readers import (
    BATCH_ROWS,
    check_columns,
    check_unicode,
    describe_csv,
    json_record,
    read_lines,
    shown,
    stripped,
)

FORMS = ("txt", "csv", "tsv", "jsonl", "parquet")
LONGEST_VALUE = 1 << 20  # letters in quotes of a csv; a quote that is never closed must not take the rest
STANDARD_INPUT = Path("/dev/stdin")


def form_of(path, forms):
    """The form that a file's name tells, or None: a.csv, a.csv.gz."""
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    return suffix[1:] if suffix[1:] in forms else None


def rows_of(path, form, column):
    """Yields (row, text) of a file, or (row, UserError) for a broken row, in order, in bounded memory.

    Raises UserError where nothing can be read from there on: a missing column, no gzip data.
    """
    if form == "txt":
        found = stripped(read_lines(path))
    elif form == "jsonl":
        found = from_jsonl(path, column)
    elif form == "parquet":
        found = from_parquet(path, column)
    else:
        records = csv_records(path) if form == "csv" else tsv_records(path)
        found = from_delimited(path, column, records)
    for row, text in found:
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


def from_jsonl(path, column):
    for row, line in read_lines(path):
        if line.strip():
            try:
                yield row, json_record(path, row, line.rstrip(), column)[column]
            except UserError as error:
                yield row, error


def tsv_records(path):
    return ((row, line.split("\t") if line else []) for row, line in stripped(read_lines(path)))


def csv_records(path):
    """Yields (row, values), or (row, UserError) after which the next line begins a row.

    What a broken row took of the lines behind it, as a quote that is not closed does, is read again.
    """
    csv.field_size_limit(LONGEST_VALUE)
    lines = read_lines(path)
    taken, waiting = [], []

    def feed():
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


def from_delimited(path, column, records):
    """(row, text) of the named column; the first row names the columns."""
    names = None
    for row, values in records:
        if names is None and values:
            if isinstance(values, UserError):
                raise values
            names = values
            check_columns(path, names, [column])
            place = names.index(column)
        elif isinstance(values, UserError):
            yield row, values
        elif values and len(values) != len(names):
            rule = f"must have {len(names)} columns ({shown(', '.join(names))}), found {len(values)}"
            yield row, UserError(f"{path}: row {row}: {rule}")
        elif values:
            yield row, values[place]
    if names is None:
        raise UserError(f"{path}: row 1: must hold texts, found blank lines only")


def from_parquet(path, column):
    import gzip
    import shutil
    import tempfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with tempfile.NamedTemporaryFile() as plain:
            source = path
            if path.suffix == ".gz" or path == STANDARD_INPUT:  # parquet is read from its end
                with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                    shutil.copyfileobj(file, plain)
                plain.flush()
                source = plain.name  # not the file object: pyarrow's threads would read it as Python
            file = pq.ParquetFile(source)
            check_columns(path, file.schema_arrow.names, [column])
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
