"""The format of a file: as its name ends, else as its first lines look."""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.lines import open_bytes, read_lines, stripped
from nolabels.data.records import FORMS, csv_records, form_of

LINES = 20  # lines that the format is judged by
OTHER_MARKS = {";": "semicolons", "|": "vertical bars", "\t": "tabs"}


def form_at(path: Path) -> str:
    """The format of a file: as its name ends, else as its content looks. Raises UserError where it is none."""
    named = form_of(Path(path.name.lower()), FORMS)
    if named in ("parquet", "jsonl", "txt"):
        return named
    with suppress(OSError, EOFError, zlib.error), open_bytes(path) as file:  # read_lines says what is wrong
        if file.read(4) == b"PAR1":
            return "parquet"
    lines = [line for _, line in islice(stripped(read_lines(path)), LINES) if line.strip()]
    if named == "tsv" or not lines:
        return named or "txt"
    tabs = {line.count("\t") for line in lines}
    if len(tabs) == 1 and tabs != {0} and ("," not in lines[0] or named is None):
        return "tsv"
    return _form_of_commas(path, lines) if named == "csv" else _form_of_content(path, lines)


def _form_of_commas(path: Path, lines: Sequence[str]) -> str:
    """csv. Raises UserError where something else than commas stands between the columns."""
    for mark, description in OTHER_MARKS.items():
        if "," not in lines[0] and all(mark in line for line in lines):
            raise UserError(
                f"{path}: row 1: must have commas between the columns, found {description}; save it with commas"
            )
    return "csv"


def _form_of_content(path: Path, lines: Sequence[str]) -> str:
    """The format of a file whose name does not end in one. lines: the first ones, without blank ones."""
    if ".json" in path.suffixes and lines[0].lstrip().startswith("["):
        raise UserError(f"{path}: row 1: must be a JSON object on each line, found a list")
    if all(line.lstrip().startswith("{") for line in lines):
        return "jsonl"
    records = (values for _, values in islice(csv_records(path), LINES) if values)
    rows = [[] if isinstance(values, UserError) else values for values in records]
    widths = {len(values) for values in rows}
    if len(widths) == 1 and min(widths) > 1 and all(is_name(value) for value in rows[0]):
        return "csv"
    return "txt"


def is_name(value: str) -> bool:
    """Whether a value looks like the name of a column, or has none."""
    return len(value) <= 40 and len(value.split()) <= 4 and not value.strip().endswith((".", "!", "?"))
