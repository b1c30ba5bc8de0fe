"""Classifies the texts of files, or of standard input, with a finished student.

    python -m nolabels.classify MODEL FILES... [--out FILE] [--all] [--threshold P]

MODEL: models/student-onnx (fast) or models/student. FILES: txt (one text a line), csv, tsv, jsonl or
parquet, also .gz; a name tells the form, --format that of standard input. Written are, in the order of
the texts: the file, where there are several; the row (the line on which a text starts, in parquet its
place); the label and its probability. Where a text may have several labels both are lists.

A broken row is told on standard error and passed over. Exit code: 0, or 1 where a row was broken, or
2 where the command is wrong.
"""

import csv
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from nolabels.core.stage import UserError, arguments, run
from nolabels.data.records import FORMS, STANDARD_INPUT, form_of, rows_of
from nolabels.students.student import labels_of, load_student

WINDOW = 8192  # rows that are read, sorted by length and answered at a time; memory grows with it
OUT_FORMS = ("jsonl", "csv", "parquet")


class Trouble:
    """Counts and tells what was broken."""

    def __init__(self):
        self.count = 0

    def tell(self, error):
        self.count += 1
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)


def windows(sources, column, trouble):
    """Yields lists of up to WINDOW (file, row, text), without the broken rows."""
    found = []
    for path, form in sources:
        try:
            for row, text in rows_of(path, form, column):
                if isinstance(text, UserError):
                    trouble.tell(text)
                    continue
                found.append((path, row, text))
                if len(found) == WINDOW:
                    yield found
                    found = []
        except UserError as error:
            trouble.tell(error)
    if found:
        yield found


def answers(window, model, threshold):
    """(label, probability, K probabilities) of each text.

    One label a text: None where it is less sure than the threshold. Several: lists, and threshold
    stands for the model's own where it is given.
    """
    for row in model.probabilities([text for _, _, text in window]).astype(float).round(4).tolist():
        if model.multi_label:
            labels = labels_of(row, model.classes, model.threshold if threshold is None else threshold)
            yield labels, [row[model.classes.index(label)] for label in labels], row
        else:
            (label,) = labels_of(row, model.classes, None)
            yield (None if threshold is not None and max(row) < threshold else label), max(row), row


def fields(several, classes):
    """Names of what is written of a text; several: whether there are several files."""
    return [*(["file"] if several else []), "row", "label", "probability", *classes]


@contextmanager
def jsonl_writer(file, several, classes, multi_label):
    names = fields(several, [])

    def write(records):
        for record, shares in records:
            row = dict(zip(names, record, strict=True))
            if classes:
                row["probabilities"] = dict(zip(classes, shares, strict=True))
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    yield write


@contextmanager
def csv_writer(file, several, classes, multi_label):
    """Lists are written as JSON, which no name of a class can break."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(fields(several, [f"probability of {name}" for name in classes]))

    def write(records):
        for record, shares in records:
            if multi_label:
                record = [*record[:-2], *(json.dumps(item, ensure_ascii=False) for item in record[-2:])]
            writer.writerow([*record, *(shares if classes else [])])

    yield write


@contextmanager
def parquet_writer(path, several, classes, multi_label):
    import pyarrow as pa
    import pyarrow.parquet as pq

    one = {"file": pa.string(), "row": pa.int64(), "label": pa.string(), "probability": pa.float32()}
    if multi_label:
        one |= {name: pa.list_(one[name]) for name in ("label", "probability")}
    names = fields(several, [f"probability of {name}" for name in classes])
    schema = pa.schema([(name, one.get(name, pa.float32())) for name in names])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:

        def write(records):
            rows = [[*record, *(shares if classes else [])] for record, shares in records]
            columns = zip(*rows, strict=True)
            writer.write_table(
                pa.table([pa.array(c, t) for c, t in zip(columns, schema.types, strict=True)], schema=schema)
            )

        yield write


@contextmanager
def writer_to(out, *about):
    """A function that writes records. out: a file, which appears whole at the end, or None."""
    if out is None:
        with jsonl_writer(sys.stdout, *about) as write:
            yield write
        return
    form = form_of(out, OUT_FORMS)
    partial = out.with_name(f".{out.name}.partial")
    try:
        if form == "parquet":
            with parquet_writer(partial, *about) as write:
                yield write
        else:
            writer = csv_writer if form == "csv" else jsonl_writer
            with partial.open("w", encoding="utf-8", newline="") as file, writer(file, *about) as write:
                yield write
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def progress():
    """A function that is told how many texts were answered; shows them on a terminal alone."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(unit="text", unit_scale=True) as bar:
        yield bar.update


def share(value):
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(value)
    return number


def read_arguments(argv):
    parser = arguments(__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder of the student, ONNX or torch")
    parser.add_argument("files", type=Path, nargs="*", metavar="FILES", help="none: standard input")
    parser.add_argument("--format", choices=FORMS, help="form of standard input, and of names that tell none")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="column of the texts (text)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"file to write: {', '.join(OUT_FORMS)}")
    parser.add_argument("--all", action="store_true", help="the probability of each class besides")
    parser.add_argument("--threshold", type=share, metavar="P", help="no label where it is less sure; 0 to 1")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0: as many as cores")
    args = parser.parse_args(argv)
    sources = []
    for path in args.files or [STANDARD_INPUT]:
        form = args.format if path == STANDARD_INPUT else form_of(path, FORMS) or args.format
        if form is None:
            parser.error(
                f"{'standard input' if path == STANDARD_INPUT else path}: --format must say its form"
            )
        if not path.exists():
            parser.error(f"{path}: must be a file, found nothing")
        sources.append((path, form))
    if args.out is not None and form_of(args.out, OUT_FORMS) is None:
        parser.error(f"--out: must end in .{', .'.join(OUT_FORMS)}, found {args.out}")
    try:
        model = load_student(args.model, args.threads)
    except UserError as error:
        parser.error(str(error))
    return args, sources, model


def main(argv=None):
    args, sources, model = read_arguments(argv)
    several = len(sources) > 1
    trouble = Trouble()
    about = (several, model.classes if args.all else [], model.multi_label)
    try:
        with writer_to(args.out, *about) as write, progress() as told:
            for window in windows(sources, args.text, trouble):
                found = zip(window, answers(window, model, args.threshold), strict=True)
                write(
                    ((*([str(path)] if several else []), row, label, sure), shares)
                    for (path, row, _), (label, sure, shares) in found
                )
                told(len(window))
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if trouble.count:
        print(f"error: {trouble.count} broken; all else was answered", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run(main)
