"""Further answers into the csv files that people answer in, all of these files or none."""

import csv
from pathlib import Path

from nolabels.data.annotations import harmless
from nolabels.data.readers import LONGEST_LINE, read_lines
from nolabels.data.texts import text_id


def with_answers(path: Path, answers: dict[str, str], texts: dict[str, str]) -> list[list[str]]:
    """The rows of an answer file with further answers in it, the header first.

    Parameters
    ----------
    path : pathlib.Path
        A csv that `read_rows` reads. All of its rows and columns stay.
    answers : dict of str to str
        Labels as they are written, by id. A row of that id gets the label, whether it has one or not; for an id
        that has no row one is added at the end.
    texts : dict of str to str
        The texts of these ids.
    """
    csv.field_size_limit(LONGEST_LINE)
    header, *rows = filter(None, csv.reader((line for _, line in read_lines(path)), strict=True))
    if "id" not in header:  # of the columns the last one of a name counts, as read_rows reads them
        header, rows = ["id", *header], [["", *row] for row in rows]
    column = {name: number for number, name in enumerate(header)}
    left = dict(answers)
    for row in rows:
        row += [""] * (len(header) - len(row))
        text = row[column["text"]] if "text" in column else ""
        given = row[column["id"]].strip() or text_id(text)
        if given in answers:
            row[column["label"]] = answers[given]
            left.pop(given, None)
    for given, label in left.items():
        row = [""] * len(header)
        row[column["id"]], row[column["label"]] = given, label
        if "text" in column:
            row[column["text"]] = harmless(texts[given])
        rows.append(row)
    return [header, *rows]


def write_files(contents: dict[Path, list[list[str]]]) -> None:
    """Writes csv files, all of them or none. contents: {path: rows of values}."""
    partial = {path: path.with_name(f".{path.name}.partial") for path in contents}
    try:
        for path, rows in contents.items():
            with partial[path].open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        for path in contents:
            partial[path].replace(path)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
