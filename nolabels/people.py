"""Answers that people gave: data/corrections.csv and data/test_labels.csv."""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nolabels.readers import LONGEST_LINE, check_unicode, describe_csv, read_lines
from nolabels.spelling import NONE, SEPARATOR, join, parse
from nolabels.stage import UserError
from nolabels.texts import text_id


def read_answers(path, task, ids, elsewhere, hint):
    """{id: tuple of class names} from a csv with the columns `id` or `text`, and `label`.

    task: params.Task; with multi_label a label may be "a; b", or "(none)". Rows without a label are
    passed over. ids: column (Arrow) of the ids that may be answered here; elsewhere: of those
    that belong into the other file, and hint: which that is. Raises UserError with the line.
    """
    path, found, lines = Path(path), {}, {}
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
            given = (answer.get("id") or "").strip() or (text_id(answer.get("text") or ""))
            names = parse(label, task.multi_label)
            if not set(names) <= set(task.labels):
                several = (
                    f", or several with {SEPARATOR!r} between them, or {NONE}" if task.multi_label else ""
                )
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
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.reader.line_num}: {describe_csv(str(error))}") from error
    answered = pa.array(list(found), ids.type)
    here, there = (pc.is_in(answered, value_set=known).to_pylist() for known in (ids, elsewhere))
    for given, is_here, is_there in zip(found, here, there, strict=True):
        if is_there:
            raise UserError(f"{path}: line {lines[given]}: {given} is an answer for {hint}")
        if not is_here:
            raise UserError(f"{path}: line {lines[given]}: id must be one that was drawn, found {given!r}")
    return found


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
            text = row["text"]
            if text[:1] in ("=", "+", "-", "@", "\t", "\r"):
                text = "'" + text
            writer.writerow({**row, "text": text, "label": ""})
