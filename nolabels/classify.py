"""Classifies the texts of files, or of standard input, with a finished student.

    python -m nolabels.classify MODEL FILES... [--out FILE] [--all] [--threshold P]

MODEL: models/student-onnx (fast) or models/student. FILES: txt (one text a line), csv, tsv, jsonl or
parquet, also .gz: a name ends in the format, --format is that of standard input. In the order of the texts it
writes the file, where there are several; the row (the line on which a text starts, in parquet its
position); the label and its probability. Where a text may have several labels both are lists.

A broken row is reported on standard error and passed over. Exit code: 0, or 1 where a row was broken, or
2 where the command is wrong.
"""

import csv
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from nolabels.core.stage import UserError, arguments, run
from nolabels.data.lines import STANDARD_INPUT
from nolabels.data.records import FORMS, ErrorLog, Row, form_of, windows
from nolabels.students.student import labels_of, load_student

OUT_FORMS = ("jsonl", "csv", "parquet")
Record = tuple[
    list, list[float]
]  # file where there are several, row, label, probability; and K probabilities
Writer = Callable[[Iterable[Record]], None]


def _predict(window: Sequence[Row], model: Any, threshold: float | None) -> Iterator[tuple]:
    """Yields (label, probability, K probabilities) of each text.

    One label a text: None where its probability is below the threshold. Several: lists, and a threshold
    replaces the model's own.
    """
    classes = model.classes_.tolist()
    for row in model.predict_proba([text for _, _, text in window]).astype(float).round(4).tolist():
        if model.multi_label:
            labels = labels_of(row, classes, model.threshold if threshold is None else threshold)
            yield labels, [row[classes.index(label)] for label in labels], row
        else:
            (label,) = labels_of(row, classes, None)
            yield (None if threshold is not None and max(row) < threshold else label), max(row), row


def _fields(several: bool, classes: Sequence[str]) -> list[str]:
    """Names of the values of a record; several: whether there are several files."""
    return [*(["file"] if several else []), "row", "label", "probability", *classes]


@contextmanager
def _jsonl_writer(file: TextIO, several: bool, classes: Sequence[str], multi_label: bool) -> Iterator[Writer]:
    names = _fields(several, [])

    def write(records):
        for record, shares in records:
            row = dict(zip(names, record, strict=True))
            if classes:
                row["probabilities"] = dict(zip(classes, shares, strict=True))
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    yield write


@contextmanager
def _csv_writer(file: TextIO, several: bool, classes: Sequence[str], multi_label: bool) -> Iterator[Writer]:
    """Lists are written as JSON, which no name of a class can break."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_fields(several, [f"probability of {name}" for name in classes]))

    def write(records):
        for record, shares in records:
            if multi_label:
                record = [*record[:-2], *(json.dumps(item, ensure_ascii=False) for item in record[-2:])]
            writer.writerow([*record, *(shares if classes else [])])

    yield write


@contextmanager
def _parquet_writer(path: Path, several: bool, classes: Sequence[str], multi_label: bool) -> Iterator[Writer]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    one = {"file": pa.string(), "row": pa.int64(), "label": pa.string(), "probability": pa.float32()}
    if multi_label:
        one |= {name: pa.list_(one[name]) for name in ("label", "probability")}
    names = _fields(several, [f"probability of {name}" for name in classes])
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
def _writer_to(out: Path | None, *about: Any) -> Iterator[Writer]:
    """A function that writes records. out: a file, which appears whole at the end, or None."""
    if out is None:
        with _jsonl_writer(sys.stdout, *about) as write:
            yield write
        return
    form = form_of(out, OUT_FORMS)
    partial = out.with_name(f".{out.name}.partial")
    try:
        if form == "parquet":
            with _parquet_writer(partial, *about) as write:
                yield write
        else:
            writer = _csv_writer if form == "csv" else _jsonl_writer
            with partial.open("w", encoding="utf-8", newline="") as file, writer(file, *about) as write:
                yield write
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _progress() -> Iterator[Callable[[int], Any]]:
    """A function to call with the number of texts that were answered; it shows them on a terminal alone."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(unit="text", unit_scale=True) as bar:
        yield bar.update


def share(value: str) -> float:
    """A number in 0..1; argparse prints this function's name in its message. Raises ValueError."""
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(value)
    return number


def _read_arguments(argv: Sequence[str] | None) -> tuple[Namespace, list[tuple[Path, str]], Any]:
    """The arguments, (file, format) of each source, and the model. Exits with 2 where the command is wrong."""
    parser = arguments(__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder of the student, ONNX or torch")
    parser.add_argument("files", type=Path, nargs="*", metavar="FILES", help="none: standard input")
    parser.add_argument(
        "--format", choices=FORMS, help="format of standard input, and of names that do not end in one"
    )
    parser.add_argument("--text", default="text", metavar="COLUMN", help="column of the texts (text)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"file to write: {', '.join(OUT_FORMS)}")
    parser.add_argument("--all", action="store_true", help="the probability of each class besides")
    parser.add_argument(
        "--threshold",
        type=share,
        metavar="P",
        help="no label for a text whose probability is below P; 0 to 1",
    )
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


def main(argv: Sequence[str] | None = None) -> None:
    args, sources, model = _read_arguments(argv)
    several = len(sources) > 1
    errors = ErrorLog()
    about = (several, model.classes_.tolist() if args.all else [], model.multi_label)
    try:
        with _writer_to(args.out, *about) as write, _progress() as show:
            for window in windows(sources, args.text, errors):
                predicted = zip(window, _predict(window, model, args.threshold), strict=True)
                write(
                    ([*([str(path)] if several else []), row, label, probability], probabilities)
                    for (path, row, _), (label, probability, probabilities) in predicted
                )
                show(len(window))
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if errors.count:
        print(f"error: {errors.count} broken; all else was answered", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run(main)
