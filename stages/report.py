"""Makes the page for somebody who decides whether to ship the student, its short form, and the model card.

Reads what the other stages wrote, and metrics/speed.json if it exists. That file is no dep: timings differ from run to
run. The page leads with the figures of the test, and gives those of dev, by which people choose settings, in one line.

usage: python -m stages.report data/pool.parquet data/dev.parquet data/test.parquet data/teacher_train.parquet \\
           data/review.csv data/student_test.parquet data/onnx_test.parquet \\
           data/mistakes_dev.parquet data/mistakes_test.parquet metrics/dev.json metrics/test.json \\
           metrics/label.json metrics/export.json metrics/forecast.json plots/training.csv plots/dev plots/test \\
           reports models/student-onnx/README.md
"""

import csv
import json

from nolabels.core import params, speed
from nolabels.core.stage import path_arguments, run, say
from nolabels.core.tables import about, read_table
from nolabels.reporting.changes import changes_since
from nolabels.reporting.page import Run, leading_split, render_pages, split_of_mistakes

PATHS = {
    "pool_texts": "the texts of the pool",
    "dev_texts": "those of dev",
    "test_texts": "those of test",
    "train": "the texts to learn from",
    "review": "csv of pool texts where a person's answer helps most",
    "student": "the student's answers, which say what versions trained it",
    "onnx": "the ONNX student's answers, which say what versions exported it",
    "mistakes_dev": "dev texts that teacher or student classify wrongly",
    "mistakes_test": "such test texts",
    "dev": "metrics of dev",
    "test": "metrics of test",
    "label": "metrics of label",
    "export": "metrics of export",
    "forecast": "metrics of forecast",
    "loss": "csv of the loss while training",
    "plots_dev": "folder of the plots of dev",
    "plots_test": "folder of the plots of test",
    "reports": "folder to write: index.html and report.md",
    "card": "the model card to write",
}
NUMBERS = ("calibration_teacher", "calibration_student", "coverage", "confidence")
LABELS = ("confusion_teacher", "confusion_student")


def read_labels(path):
    """Rows of a csv, each a dict of text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_numbers(path):
    """Rows of a csv, each a dict of numbers; None for an empty cell."""
    return [{name: float(cell) if cell else None for name, cell in row.items()} for row in read_labels(path)]


def changes_of(revision, args):
    """What changed since a revision (see `changes_since`); None without one."""
    if revision is None:
        return None
    tables = {"pool": args.pool_texts, "dev": args.dev_texts, "test": args.test_texts}
    return changes_since(revision, tables, {"dev": args.dev, "test": args.test})


def read_run(args):
    """The files of `args` as a Run."""
    metrics = {
        name: json.loads(getattr(args, name).read_text(encoding="utf-8"))
        for name in ("dev", "test", "label", "export", "forecast")
    }
    plots = getattr(args, f"plots_{leading_split(metrics)}")
    values = params.load()
    timed = [*(f"score_{name}_pool" for name in values.score), "train", "export"]
    return Run(
        values=values,
        metrics=metrics,
        plots={name: read_numbers(plots / f"{name}.csv") for name in NUMBERS}
        | {name: read_labels(plots / f"{name}.csv") for name in LABELS},
        loss=read_numbers(args.loss),
        train=read_table(args.train, ["split", "learn", "source"]),
        mistakes=read_table(getattr(args, f"mistakes_{split_of_mistakes(metrics)}")),
        review=read_labels(args.review),
        student=about(args.student)["model"],
        onnx=about(args.onnx)["model"],
        timings={stage: speed.measured(stage) for stage in timed},
        changes=changes_of(values.report.compare_to, args),
    )


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    pages = render_pages(read_run(args))

    args.reports.mkdir(parents=True, exist_ok=True)
    page = args.reports / "index.html"
    for path, template in (
        (page, page.name),
        (args.reports / "report.md", "report.md"),
        (args.card, "card.md"),
    ):
        path.write_text(pages[template], encoding="utf-8")
    say(f"report: {page} ({len(pages[page.name].encode()) / 1e3:.0f} kB)")


if __name__ == "__main__":
    run(main)
