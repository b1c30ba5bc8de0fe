"""Rows of a user's files: csv, tsv, jsonl, parquet or txt, each also gzipped, in bounded memory.

Lines are read one at a time and parquet in batches, so a file may be larger than memory. A row's
number is the line on which it starts (what an editor shows), in parquet its position, from 1.
"""

import csv
import fnmatch
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nolabels.core.stage import UserError
from nolabels.data.gold import gold_text
from nolabels.data.lines import (
    LONGEST_LINE,
    check_columns,
    check_unicode,
    describe_csv,
    read_lines,
    shown,
    stripped,
)
from nolabels.data.parquet import read_parquet

if TYPE_CHECKING:  # `classify` needs no pydantic
    from nolabels.core.params import Gold, Sample


def list_files(raw: Path, pattern: str | None) -> tuple[list[Path], list[Path]]:
    """The files of the source; hidden ones and .yaml (where an asset of a hub came from) are passed over.

    Parameters
    ----------
    raw : Path
        A folder, looked through with all folders in it.
    pattern : str or None
        params: sample.test_file, which names the files of the test set; None where there are none.

    Returns
    -------
    tuple of (list of Path, list of Path)
        The files of the pool and those of the test set, each sorted.

    Raises
    ------
    UserError
        Where there is none for the pool, or none that the pattern names.
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


def read_rows(path: Path, sample: "Sample", gold: "Gold | None") -> Iterator[tuple[int, str, str | None]]:
    """The rows of a file, in order.

    Parameters
    ----------
    path : Path
        The file.
    sample : Sample
        Its format and columns.
    gold : Gold or None
        The gold column; None where it is not looked at.

    Yields
    ------
    tuple of (int, str, str or None)
        Row, text, and the gold column's value as text. An absent text is "", an absent value None.

    Raises
    ------
    UserError
        Naming file, row and column, where the file is not whole.
    """
    path = Path(path)
    wanted = [sample.text, *([gold.column] if gold else [])]
    for row, *values in READERS[sample.format](path, wanted, sample.columns):
        for column, value in zip(wanted, values, strict=True):
            if value is not None and not value.isascii():
                check_unicode(path, row, column, value)
        yield row, values[0] or "", values[1] if gold else None


def _read_delimited(
    path: Path, wanted: Sequence[str], columns: Sequence[str] | None, records: Iterable[tuple[int, list[str]]]
) -> Iterator[tuple]:
    """Rows of named columns. columns: names of a file without a header row, or None.

    records: (row, list of values); a record without values is a blank line.
    """
    names, indices = columns, None
    for row, values in records:
        if not values:
            continue
        if names is None or indices is None:
            if names is None:
                names = values
            check_columns(path, names, wanted)
            indices = [names.index(name) for name in wanted]
            if names is values:
                continue
        if len(values) != len(names):
            raise UserError(
                f"{path}: row {row}: must have {len(names)} columns ({shown(', '.join(names))}), found {len(values)}"
            )
        yield row, *(values[index] for index in indices)
    if indices is None:
        raise UserError(f"{path}: row 1: must hold texts, found blank lines only")


def _read_tsv(path: Path, wanted: Sequence[str], columns: Sequence[str] | None) -> Iterator[tuple]:
    """Tabs, no quotes: a value holds neither tab nor line end."""
    records = ((row, line.split("\t") if line else []) for row, line in stripped(read_lines(path)))
    return _read_delimited(path, wanted, columns, records)


def _read_csv(path: Path, wanted: Sequence[str], columns: Sequence[str] | None) -> Iterator[tuple]:
    """Commas; quotes as usual (doubled inside), line breaks in quotes allowed.

    The standard library's reader and not pyarrow's: that one does not say in which line a value is
    no UTF-8, counts no blank lines, and fails on a value longer than its block.
    """
    csv.field_size_limit(LONGEST_LINE)

    def records() -> Iterator[tuple[int, list[str]]]:
        row = 1
        reader = csv.reader((line for _, line in read_lines(path)), strict=True)
        try:
            for values in reader:
                yield row, values
                row = reader.line_num + 1
        except csv.Error as error:
            raise UserError(f"{path}: row {row}: {describe_csv(str(error))}") from error

    return _read_delimited(path, wanted, columns, records())


def _read_txt(path: Path, wanted: Sequence[str], columns: None) -> Iterator[tuple]:
    """One text a line."""
    return stripped(read_lines(path))


def _read_jsonl(path: Path, wanted: Sequence[str], columns: None) -> Iterator[tuple]:
    """One JSON object a line; blank lines are passed over."""
    for row, line in read_lines(path):
        if line.strip():
            record = json_record(path, row, line.rstrip(), wanted[0])
            gold = (gold_text(path, row, name, record.get(name)) for name in wanted[1:])
            yield row, record[wanted[0]], *gold


def json_record(path: Path, row: int, line: str, column: str) -> dict[str, Any]:
    """The JSON object of a line.

    Parameters
    ----------
    path, row : Path, int
        Where the line stands, for messages.
    line : str
    column : str
        A key that the object must have, with text or null.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        Where the line is no such object.
    """
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


READERS: dict[str, Callable[..., Iterator[tuple]]] = {
    "csv": _read_csv,
    "tsv": _read_tsv,
    "jsonl": _read_jsonl,
    "txt": _read_txt,
    "parquet": read_parquet,
}
