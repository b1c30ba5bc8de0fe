"""What the first rows of a file tell: its format, whether a row names the columns, which column holds the texts."""

import gzip
import json
import shutil
import tempfile
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.readers import (
    check_columns,
    check_unicode,
    open_bytes,
    read_lines,
    shown,
    spelled,
    stripped,
    to_list,
)
from nolabels.data.records import FORMS, csv_records, form_of, tsv_records

HEAD = 1000  # rows that the columns are judged by
LINES = 20  # lines that the format is judged by
CLOSE = 2 / 3  # a column whose texts are at least this part as long as the longest may be meant too
OTHER_MARKS = {";": "semicolons", "|": "vertical bars", "\t": "tabs"}


@dataclass(frozen=True)
class Head:
    """The first rows of a file.

    form: a value of sample.format; columns: the names to give to a csv or tsv without a header row, else None;
    values: {column: its values in up to HEAD rows, as text, None where there is none}; texts: those of the columns
    that may hold texts, in order. For txt both are empty.
    """

    form: str
    columns: list[str] | None
    values: dict
    texts: list[str]


def form_at(path):
    """The format of a file: as its name ends, else as its content looks. Raises UserError where it is none."""
    named = form_of(Path(path.name.lower()), FORMS)
    if named in ("parquet", "jsonl", "txt"):
        return named
    with suppress(OSError, EOFError, zlib.error), open_bytes(path) as file:  # read_lines tells what is wrong
        if file.read(4) == b"PAR1":
            return "parquet"
    lines = [line for _, line in islice(stripped(read_lines(path)), LINES) if line.strip()]
    if named == "tsv" or not lines:
        return named or "txt"
    tabs = {line.count("\t") for line in lines}
    if len(tabs) == 1 and tabs != {0} and ("," not in lines[0] or named is None):
        return "tsv"
    return form_of_commas(path, lines) if named == "csv" else form_of_content(path, lines)


def form_of_commas(path, lines):
    """csv. Raises UserError where something else than commas stands between the columns."""
    for mark, what in OTHER_MARKS.items():
        if "," not in lines[0] and all(mark in line for line in lines):
            raise UserError(
                f"{path}: row 1: must have commas between the columns, found {what}; save it with commas"
            )
    return "csv"


def form_of_content(path, lines):
    """The format of a file whose name does not tell it. lines: the first ones, without blank ones."""
    if ".json" in path.suffixes and lines[0].lstrip().startswith("["):
        raise UserError(f"{path}: row 1: must be a JSON object on each line, found a list")
    if all(line.lstrip().startswith("{") for line in lines):
        return "jsonl"
    rows = [values for _, values in islice(csv_records(path), LINES) if values]
    widths = {0 if isinstance(values, UserError) else len(values) for values in rows}
    if len(widths) == 1 and min(widths) > 1 and all(is_name(value) for value in rows[0]):
        return "csv"
    return "txt"


def is_name(value):
    """Whether a value looks like the name of a column, or has none."""
    return len(value) <= 40 and len(value.split()) <= 4 and not value.strip().endswith((".", "!", "?"))


def is_number(value):
    try:
        float(value)
    except ValueError:
        return False
    return True


def is_header(first, rest, wanted, classes):
    """Whether the first row names the columns: True, False, or None where it may be both.

    first: its values; rest: the columns below it; wanted: columns that the person named; classes: their names.
    """
    if wanted & set(first):
        return True
    given = [value for value in first if value.strip()]  # the name of an index column is often empty
    if len(set(given)) < len(given) or not all(is_name(value) for value in given):
        return False
    if any(is_number(value) or value in classes for value in given):
        return False
    if any(value in column for value, column in zip(first, rest, strict=True) if value):
        return False
    return True if all(len(value.split()) == 1 for value in given) else None


def head_of(path, form, wanted, classes, decide):
    """The Head of a file in a format.

    wanted: set of the columns that the person named; classes: names of the classes; decide: asks the person
    whether a first row, given as text, names the columns, and returns the answer. Raises UserError.
    """
    if form == "txt":
        return Head(form, None, {}, [])
    if form in ("csv", "tsv"):
        return head_of_table(path, form, wanted, classes, decide)
    values, texts = (head_of_parquet if form == "parquet" else head_of_jsonl)(path)
    return Head(form, None, values, texts)


def head_of_table(path, form, wanted, classes, decide):
    records = csv_records(path) if form == "csv" else tsv_records(path)
    rows = [(row, values) for row, values in islice(records, HEAD) if values]
    rows = [(row, values) for row, values in rows if not isinstance(values, UserError)]
    if not rows:
        raise UserError(f"{path}: row 1: must hold texts, found no row that can be read")
    (_, first), *others = rows
    rest = [values for _, values in others if len(values) == len(first)]
    if others and not rest:
        row, values = others[0]
        raise UserError(
            f"{path}: row {row}: must have {len(first)} columns as row 1 ({shown(', '.join(first))}), found "
            f"{len(values)}; in a csv a value with a comma needs quotes"
        )
    rest = list(zip(*rest, strict=True)) or [()] * len(first)
    header = is_header(first, rest, wanted, classes)
    if header is None:
        header = decide(shown(" | ".join(first)))
    names = first if header else [f"column_{number}" for number in range(1, len(first) + 1)]
    for name in names:
        check_unicode(path, 1, "the name of a column", name)
    if not header:
        rest = [(value, *column) for value, column in zip(first, rest, strict=True)]
    values = {name: list(column) for name, column in zip(names, rest, strict=True)}
    texts = [name for name in names if name and names.count(name) == 1]
    return Head(form, None if header else names, values, texts)


def head_of_jsonl(path):
    """Columns are the keys of the objects. A line that is none is passed over: read_rows tells it."""
    rows = []
    for _, line in islice(read_lines(path), HEAD):
        with suppress(ValueError, RecursionError):
            rows.append(json.loads(line))
    rows = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return told(path, columns)


def head_of_parquet(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with unpacked(path) as source:
            batch = next(pq.ParquetFile(source).iter_batches(HEAD), None)
    except (EOFError, zlib.error, pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        message = shown(" ".join(str(error).split()))
        raise UserError(f"{path}: row 1: not a readable parquet file ({message})") from error
    if batch is None:
        raise UserError(f"{path}: row 1: must hold texts, found no rows")
    names = batch.schema.names
    columns = {name: batch.column(names.index(name)) for name in names if names.count(name) == 1}
    return told(path, {name: to_list(path, 0, name, column) for name, column in columns.items()})


@contextmanager
def unpacked(path):
    """The name of a file that is not gzipped, for what is read from its end."""
    if path.suffix != ".gz":
        yield path
        return
    with tempfile.NamedTemporaryFile() as plain:
        with gzip.open(path, "rb") as file:
            shutil.copyfileobj(file, plain)
        plain.flush()
        yield plain.name


def told(path, columns):
    """Values of any type as text, and the columns that hold text alone."""
    values, texts = {}, []
    for name, column in columns.items():
        if all(value is None or isinstance(value, str) for value in column) and any(column):
            texts.append(name)
        values[name] = [
            spelled(path, 1, name, value) if isinstance(value, (str, bool, int, float)) else None
            for value in column
        ]
    return values, texts


def lengths(head):
    """{column: mean letters of its values} of the columns with texts, the longest first.

    Columns of single words (numbers, addresses, keys) are left out, unless there are no others.
    """
    means, prose = {}, []
    for name in head.texts:
        given = [value for value in head.values[name] if value and value.strip()]
        if given:
            means[name] = sum(map(len, given)) / len(given)
            spaced = [value for value in given if " " in value.strip() or not value.isascii()]
            prose += [name] if 2 * len(spaced) >= len(given) else []
    return dict(sorted(((name, means[name]) for name in prose or means), key=lambda item: -item[1]))


def text_column(path, head, gold, choose):
    """The column that holds the texts, and why in a few words.

    gold: the column with answers, which is none with texts, or None; choose: asks the person for one of the columns
    that it is given, and returns it, or None where nobody can be asked. Raises UserError where there is none.
    """
    means = {name: mean for name, mean in lengths(head).items() if name != gold}
    if not means:
        raise UserError(
            f"{path}: row 1: must have a column of texts, found {shown(', '.join(head.values)) or 'none'}"
        )
    first, *others = means
    if len(head.values) == 1:
        return first, "the only column"
    close = [name for name in others if means[name] >= CLOSE * means[first]]
    picked = choose([first, *close]) if close else None
    if picked is not None:
        return picked, "as you said"
    why = f"the longest on average, {means[first]:.0f} letters"
    if close:
        near = ", ".join(f"{name} with {means[name]:.0f}" for name in close)
        why += f"; but {shown(near)}: --text chooses another"
    return first, why


def check_column(path, head, name):
    """Raises UserError where a file has no such column, or several."""
    if head.form == "txt":
        raise UserError(f"{path}: must have columns for --text and --gold, found txt, one text a line")
    check_columns(path, list(head.values), [name])


def answer_columns(head, classes, text):
    """The columns whose values are class names, two at least, and nothing else: answers of people, it seems."""
    found = []
    for name, column in head.values.items():
        given = {value for value in column if value}
        if name != text and len(given) > 1 and given <= set(classes):
            found.append(name)
    return found
