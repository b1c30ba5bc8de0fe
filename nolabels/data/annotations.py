"""Answers that people gave: data/corrections.csv, data/dev_labels.csv and data/test_labels.csv."""

import csv
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nolabels.core.spelling import NONE, SEPARATOR, join, parse
from nolabels.core.stage import UserError, say
from nolabels.data.readers import LONGEST_LINE, check_unicode, describe_csv, read_lines
from nolabels.data.texts import text_id


def read_rows(path):
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
            given = (answer.get("id") or "").strip() or text_id(answer.get("text") or "")
            if not re.fullmatch("[0-9a-f]{32}", given):
                raise UserError(f"{path}: line {line}: id must be 32 hex digits, found {given!r}")
            yield line, given, label
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.reader.line_num}: {describe_csv(str(error))}") from error


def read_ids(path):
    """The ids that are answered in a csv, whatever the answers."""
    return {given for _, given, _ in read_rows(Path(path))}


def read_answers(path, task, ids, elsewhere):
    """{id: tuple of class names} of the texts `ids`, from a csv (see read_rows).

    task: params.Task; with multi_label a label may be "a; b", or "(none)". ids: column (Arrow) of the ids that
    may be answered here; elsewhere: {file that answers belong into: column of the ids}. An answer for a text
    that is in neither stays in the file and is counted in one line: the text may come back. Raises UserError
    with the line where a label is no class, a text is answered twice, or an answer belongs into another file.
    """
    path, found, lines = Path(path), {}, {}
    for line, given, label in read_rows(path):
        names = parse(label, task.multi_label)
        if not set(names) <= set(task.labels):
            several = f", or several with {SEPARATOR!r} between them, or {NONE}" if task.multi_label else ""
            raise UserError(
                f"{path}: line {line}: label must be one of {', '.join(task.labels)}{several}, found {label!r}"
            )
        names = tuple(name for name in task.labels if name in names)
        if found.get(given, names) != names:
            raise UserError(
                f"{path}: line {line}: {given} is answered twice, {join(found[given])!r} and {label!r}"
            )
        found[given] = names
        lines.setdefault(given, line)
    answered = pa.array(list(found), pa.string())
    for file, others in elsewhere.items():
        for given in answered.filter(pc.is_in(answered, value_set=others)).to_pylist():
            raise UserError(f"{path}: line {lines[given]}: {given} must be answered in {file}")
    here = answered.filter(pc.is_in(answered, value_set=ids)).to_pylist()
    if len(here) < len(found):
        say(f"{path}: {len(found) - len(here)} answers are for texts that are not drawn now; they are kept")
    return {given: found[given] for given in here}


def write_review(path, rows, columns):
    """A csv for people to answer in; `label` is empty. rows: dicts.

    A text that a spreadsheet would run as a formula gets an apostrophe in front; the id says which
    text is meant.
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
