"""Answers that people gave: data/corrections.csv, data/dev_labels.csv and data/test_labels.csv."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nolabels.core.params import Task
from nolabels.core.spelling import NONE, SEPARATOR, join, parse
from nolabels.core.stage import UserError, say
from nolabels.data.lines import LONGEST_LINE, check_unicode, describe_csv, read_lines
from nolabels.data.texts import text_id


def read_rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yields (line, id, label) of each row with a label. The csv has the columns `id` or `text`, and `label`.

    Raises UserError with the line.
    """
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.DictReader((line for _, line in read_lines(path)), strict=True)
    try:
        columns = reader.fieldnames or []
        if "label" not in columns or not {"id", "text"} & set(columns):
            raise UserError(f"{path}: line 1: must name the columns id or text, and label, found {columns}")
        for answer in reader:
            line = reader.line_num
            for column in {"id", "text", "label"} & set(columns):
                check_unicode(path, line, column, answer[column] or "")
            label = (answer["label"] or "").strip()
            if not label:
                continue
            identifier = (answer.get("id") or "").strip() or text_id(answer.get("text") or "")
            if not re.fullmatch("[0-9a-f]{32}", identifier):
                raise UserError(f"{path}: line {line}: id must be 32 hex digits, found {identifier!r}")
            yield line, identifier, label
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.reader.line_num}: {describe_csv(str(error))}") from error


def read_ids(path: Path) -> set[str]:
    """The ids that are answered in a csv, whatever the answers."""
    return {identifier for _, identifier, _ in read_rows(Path(path))}


def read_answers(
    path: Path, task: Task, ids: pa.ChunkedArray, elsewhere: Mapping[str, pa.ChunkedArray]
) -> dict[str, tuple[str, ...]]:
    """The annotations of texts, from a csv (see read_rows).

    An annotation of a text that is neither in `ids` nor elsewhere stays in the file and is counted in one line: the
    text may come back.

    Parameters
    ----------
    path : Path
        The csv.
    task : Task
        The classes; with multi_label a label may be "a; b", or "(none)".
    ids : pa.ChunkedArray
        Ids of the texts that may be annotated here.
    elsewhere : mapping
        {another file of annotations: ids of the texts that are annotated there}.

    Returns
    -------
    dict
        {id: names of its classes, in the order of task.labels}.

    Raises
    ------
    UserError
        With the line where a label is no class, a text is annotated twice, or an annotation belongs into another file.
    """
    path = Path(path)
    annotations: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    for line, identifier, label in read_rows(path):
        names = _classes_of(path, line, label, task)
        before = annotations.setdefault(identifier, names)
        if before != names:
            raise UserError(
                f"{path}: line {line}: {identifier} is answered twice, {join(before)!r} and {label!r}"
            )
        lines.setdefault(identifier, line)
    answered = pa.array(list(annotations), pa.string())
    for file, others in elsewhere.items():
        for identifier in answered.filter(pc.is_in(answered, value_set=others)).to_pylist():
            raise UserError(f"{path}: line {lines[identifier]}: {identifier} must be answered in {file}")
    here = answered.filter(pc.is_in(answered, value_set=ids)).to_pylist()
    if len(here) < len(annotations):
        absent = len(annotations) - len(here)
        say(f"{path}: {absent} answers are for texts that are not drawn now; they are kept")
    return {identifier: annotations[identifier] for identifier in here}


def _classes_of(path: Path, line: int, label: str, task: Task) -> tuple[str, ...]:
    """The class names that a label holds, in the order of task.labels. Raises UserError with the line."""
    names = parse(label, task.multi_label)
    if not set(names) <= set(task.labels):
        several = f", or several with {SEPARATOR!r} between them, or {NONE}" if task.multi_label else ""
        raise UserError(
            f"{path}: line {line}: label must be one of {', '.join(task.labels)}{several}, found {label!r}"
        )
    return tuple(name for name in task.labels if name in names)


def write_review(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Writes a csv for people to answer in, with an empty column `label`.

    A text that a spreadsheet would run as a formula gets an apostrophe in front; the id says which
    text is meant.

    Parameters
    ----------
    path : Path
        The csv.
    rows : iterable of mapping
        {column: value} of each text.
    columns : sequence of str
        The columns, `text` among them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*columns, "label"], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "text": harmless(row["text"]), "label": ""})


def harmless(text: str) -> str:
    """A text that no spreadsheet runs as a formula: with an apostrophe in front where one would."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
