"""Rows of a user's files: csv, tsv, jsonl, parquet or txt, each also gzipped, in bounded memory.

Lines are read one at a time and parquet in batches, so a file may be larger than memory. A row's
number is the line on which it starts (what an editor shows), in parquet its place, from 1.
"""

import csv
import fnmatch
import gzip
import json
import math
import shutil
import tempfile
import zlib
from functools import partial
from pathlib import Path

from nolabels.core.spelling import NONE, SEPARATOR, join, parse
from nolabels.core.stage import UserError

BATCH_ROWS = 8192
LONGEST_LINE = 1 << 26  # bytes; a file without line ends must not fill the memory
SHOWN = 120  # characters of a found value in a message

# how files begin that are often taken for text
MAGIC = {
    b"PAR1": "a parquet file",
    b"\x1f\x8b": "gzip data; its name must end in .gz",
    b"PK\x03\x04": "a zip archive or an office document",
    b"\xd0\xcf\x11\xe0": "an old office document",
    b"%PDF": "a PDF",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"\x28\xb5\x2f\xfd": "zstd data",
}


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


def shown(value):
    """A found value as a message shows it: one line, not long."""
    value = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value[: SHOWN + 1]
    )
    return value if len(value) <= SHOWN else value[:SHOWN] + "…"


def check_unicode(path, row, column, value):
    """Bytes that are no UTF-8 were read as lone surrogates; JSON can spell such ones out."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        found = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x} alone"
        raise UserError(f"{path}: row {row}: {column or 'the line'} must be UTF-8, found {found}") from error


def check_columns(path, names, wanted):
    for name in wanted:
        if names.count(name) != 1:
            rule = "must have a column" if name not in names else "must have only one column"
            hint = "; is the delimiter another one?" if len(names) == 1 else ""
            raise UserError(f"{path}: row 1: {rule} {name!r}, found {shown(', '.join(names))}{hint}")


def read_lines(path):
    """Yields (row, line with its end); bytes that are no UTF-8 become lone surrogates."""
    row = 0
    try:
        with open_bytes(path) as file:
            for line in iter(partial(file.readline, LONGEST_LINE), b""):
                row += 1
                if row == 1:
                    check_magic(path, line)
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if len(line) == LONGEST_LINE:
                    raise UserError(
                        f"{path}: row {row}: must be a line of less than {LONGEST_LINE >> 20} MiB"
                    )
                yield row, line.decode("utf-8", "surrogateescape")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: row {row + 1}: not readable gzip data ({error})") from error
    if row == 0:
        raise UserError(f"{path}: row 1: must hold texts, found an empty file")


def stripped(lines):
    """Lines without their ends, LF or CRLF."""
    return ((row, line.removesuffix("\n").removesuffix("\r")) for row, line in lines)


def open_bytes(path):
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def check_magic(path, start):
    for magic, what in MAGIC.items():
        if start.startswith(magic):
            raise UserError(f"{path}: row 1: must be UTF-8 text as sample.format says, found {what}")


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


def describe_csv(message):
    if "unexpected end" in message or "field larger" in message:
        return "a quoted value must end with a quote, found none"
    if "expected after" in message:
        return "a quote inside a quoted value must be doubled, found a single one"
    if "new-line" in message:
        return "lines must end with LF or CRLF, found CR alone"
    return f"not a readable csv row ({message})"


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
