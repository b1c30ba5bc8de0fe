"""Rows of a user's files: csv, tsv, jsonl, parquet or txt, each also gzipped, in bounded memory.

Lines are read one at a time and parquet in batches, so a file may be larger than memory. A row's
number is the line on which it starts (what an editor shows), in parquet its place, from 1.
"""

import csv
import fnmatch
import gzip
import json
import shutil
import tempfile
import zlib
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.gold import spelled
from nolabels.data.lines import (
    LONGEST_LINE,
    check_columns,
    check_unicode,
    describe_csv,
    read_lines,
    shown,
    stripped,
)

BATCH_ROWS = 8192


def list_files(raw, pattern):
    """Files under the folder `raw` in sorted order: those of the pool, those of the test set.

    pattern: params.Sample.test_file, or None for no test files. Hidden files and .yaml
    (where an asset of a hub came from) are passed over.
    """
    raw = Path(raw)
    names = sorted(
        path.relative_to(raw).as_posix()
        for path in raw.rglob("*")
        if path.is_file() and path.suffix != ".yaml" and not path.name.startswith(".")
    )
    test = [name for name in names if pattern is not None and fnmatch.fnmatchcase(name, pattern)]
    pool = [name for name in names if name not in test]
    if pattern is not None and not test:
        raise UserError(
            f"params.yaml: sample.test_file: must name a file in {raw}, found {shown(', '.join(names)) or 'none'}"
        )
    if not pool:
        raise UserError(
            f"{raw}: must hold a file with texts for the pool, found {shown(', '.join(names)) or 'none'}"
        )
    return [raw / name for name in pool], [raw / name for name in test]


def read_rows(path, sample, gold):
    """Yields (row, text, value) of a file, in order; value: the gold column's as text.

    sample: params.Sample; gold: params.Gold or None, whose column is then not looked at. An absent
    text is "", an absent value None. Raises UserError naming file, row and column.
    """
    path = Path(path)
    wanted = [sample.text, *([gold.column] if gold else [])]
    read = {"csv": read_csv, "tsv": read_tsv, "jsonl": read_jsonl, "txt": read_txt, "parquet": read_parquet}
    for row, *values in read[sample.format](path, wanted, sample.columns):
        for column, value in zip(wanted, values, strict=True):
            if value is not None and not value.isascii():
                check_unicode(path, row, column, value)
        yield row, values[0] or "", values[1] if gold else None


def read_delimited(path, wanted, columns, records):
    """Rows of named columns. columns: names of a file without a header row, or None.

    records: yields (row, list of values); a record without values is a blank line.
    """
    names, places = columns, None
    for row, values in records:
        if not values:
            continue
        if places is None:
            if names is None:
                names = values
            check_columns(path, names, wanted)
            places = [names.index(name) for name in wanted]
            if names is values:
                continue
        if len(values) != len(names):
            raise UserError(
                f"{path}: row {row}: must have {len(names)} columns ({shown(', '.join(names))}), found {len(values)}"
            )
        yield row, *(values[place] for place in places)
    if places is None:
        raise UserError(f"{path}: row 1: must hold texts, found blank lines only")


def read_tsv(path, wanted, columns):
    """Tabs, no quotes: a value holds neither tab nor line end."""
    records = ((row, line.split("\t") if line else []) for row, line in stripped(read_lines(path)))
    return read_delimited(path, wanted, columns, records)


def read_csv(path, wanted, columns):
    """Commas; quotes as usual (doubled inside), line breaks in quotes allowed.

    The standard library's reader and not pyarrow's: that one does not say in which line a value is
    no UTF-8, counts no blank lines, and fails on a value longer than its block.
    """
    csv.field_size_limit(LONGEST_LINE)

    def records():
        row = 1
        reader = csv.reader((line for _, line in read_lines(path)), strict=True)
        try:
            for values in reader:
                yield row, values
                row = reader.line_num + 1
        except csv.Error as error:
            raise UserError(f"{path}: row {row}: {describe_csv(str(error))}") from error

    return read_delimited(path, wanted, columns, records())


def read_txt(path, wanted, columns):
    """One text a line."""
    return stripped(read_lines(path))


def read_jsonl(path, wanted, columns):
    """One JSON object a line; blank lines are passed over."""
    for row, line in read_lines(path):
        if line.strip():
            record = json_record(path, row, line.rstrip(), wanted[0])
            yield (
                row,
                record[wanted[0]],
                *(spelled(path, row, name, record.get(name)) for name in wanted[1:]),
            )


def json_record(path, row, line, column):
    """The JSON object of a line, which has text, or null, in the named column."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: row {row}: must be a JSON object, found {shown(line)!r} ({error})"
        ) from error
    if not isinstance(record, dict):
        raise UserError(f"{path}: row {row}: must be a JSON object, found {shown(line)!r}")
    if column not in record:
        raise UserError(f"{path}: row {row}: must have {column!r}, found {shown(', '.join(record))}")
    text = record[column]
    if text is not None and not isinstance(text, str):
        raise UserError(f"{path}: row {row}: {column} must be text, found {shown(json.dumps(text))}")
    return record


def read_parquet(path, wanted, columns):
    """Batches of the wanted columns; the others are not read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with tempfile.NamedTemporaryFile() as plain:
            source = path
            if path.suffix == ".gz":  # parquet is read from its end, gzip is not
                with gzip.open(path, "rb") as file:
                    shutil.copyfileobj(file, plain)
                plain.flush()
                source = plain.name  # not the file object: see AnswerStore.load
            file = pq.ParquetFile(source)
            check_columns(path, file.schema_arrow.names, wanted)
            kind = file.schema_arrow.field(wanted[0]).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
                raise UserError(f"{path}: row 1: {wanted[0]} must be text, found {kind}")
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                values = [to_list(path, row, name, batch.column(name)) for name in wanted]
                for text, *rest in zip(*values, strict=True):
                    row += 1
                    spelling = zip(wanted[1:], rest, strict=True)
                    yield row, text, *(spelled(path, row, name, value) for name, value in spelling)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: row 1: not readable gzip data ({error})") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: names of columns
        if isinstance(error, OSError) and error.errno is not None:
            raise
        message = shown(" ".join(str(error).split()))
        raise UserError(f"{path}: row {row + 1}: not a readable parquet file ({message})") from error


def to_list(path, row, name, column):
    """A column as Python values; row: how many were read before. Text must be UTF-8."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError as error:
        for value in column:
            row += 1
            try:
                value.as_py()
            except UnicodeDecodeError as wrong:
                found = f"byte 0x{wrong.object[wrong.start]:02x}"
                raise UserError(f"{path}: row {row}: {name} must be UTF-8, found {found}") from error
        raise
