"""Makes the page for somebody who decides whether to ship the student, its short form, and the model card.

Reads what the other stages wrote, and metrics/speed.json if it is there, which is no dep: timings differ from
run to run. The figures are those of the test; those of dev, by which people choose, stand beside.

usage: python -m stages.report data/teacher_train.parquet data/review.csv data/student_test.parquet data/onnx_test.parquet \\
           data/mistakes_dev.parquet data/mistakes_test.parquet metrics/dev.json metrics/test.json \\
           metrics/label.json metrics/export.json metrics/forecast.json plots/training.csv plots/dev plots/test \\
           reports models/student-onnx/README.md
"""

import csv
import json
from pathlib import Path

import pyarrow.compute as pc
import yaml

from nolabels.core import params
from nolabels.core.spelling import NONE, SEPARATOR
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import about, read_table
from nolabels.reporting import charts
from nolabels.reporting.card import fields, named
from nolabels.reporting.page import pages
from nolabels.reporting.page_tables import confusion, model_rows, teacher_rows
from nolabels.reporting.sentences import arithmetic, beside, foretold, precisions, speeds, verdict, words

ROLES = {
    "teacher_raw": "teacher",
    "teacher_alone": "teacher",
}  # whose colour it has, where that is not its own
MISTAKES = 20  # on the page


def read_csv(path):
    """Rows of numbers, None where a cell is empty."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]


def read_text_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("train", "what the student learned from"),
        ("review", "csv of pool texts where an answer helps most"),
        ("student", "the student's answers, for the versions that made it"),
        ("onnx", "the ONNX student's answers, likewise"),
        ("mistakes_dev", "where teacher or student are wrong on dev"),
        ("mistakes_test", "and on test"),
        ("dev", "metrics of dev"),
        ("test", "metrics of test"),
        ("label", "metrics of label"),
        ("exported", "metrics of export"),
        ("forecast", "metrics of forecast"),
        ("curve", "csv of the loss while training"),
        ("plots_dev", "folder of the curves of dev"),
        ("plots_test", "folder of the curves of test"),
        ("reports", "folder to write: index.html and report.md"),
        ("card", "the model card to write"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task, names = values.task, values.task.labels

    dev, test, label, exported, forecast = (
        json.loads(getattr(args, name).read_text(encoding="utf-8"))
        for name in ("dev", "test", "label", "exported", "forecast")
    )
    # the test leads; where nobody has answered its texts, dev
    name = "dev" if dev["n"] and not test["n"] else "test"
    metrics, other = (dev, test) if name == "dev" else (test, dev)
    plots = getattr(args, f"plots_{name}")
    curves = {who: read_csv(plots / f"calibration_{who}.csv") for who in ("teacher", "student")}
    covered = read_csv(plots / "coverage.csv")
    rows = model_rows(metrics)
    drawn = {
        "accuracy": charts.accuracies(
            [
                (
                    row["title"],
                    ROLES.get(row["who"], row["who"]),
                    *row["figures"],
                )
                for row in rows
            ]
        )
        if rows
        else "",
        "calibration": charts.calibration(curves) if covered else "",
        "coverage": charts.coverage(covered, ["teacher", "student"]) if covered else "",
        "confidence": charts.confidence(read_csv(plots / "confidence.csv"), ["teacher", "student"]),
        "training": charts.training(read_csv(args.curve)),
    }
    learned = read_table(args.train, ["split", "learn", "source"])
    learned = learned.filter(pc.field("learn") & (pc.field("split") == "train"))
    sources = learned["source"].to_pylist()
    # of teacher or student, the student's most confident first; looking at those of dev leaves the test unseen
    mistakes_of = "dev" if dev["n"] else "test"
    mistakes = read_table(getattr(args, f"mistakes_{mistakes_of}"))
    mistakes = mistakes.filter(pc.not_equal(mistakes["student"], mistakes["gold"])).slice(0, MISTAKES)
    show = values.report.show_texts
    student = about(args.student)["model"]
    shipped_by = about(args.onnx)["model"]["versions"]
    versions = ", ".join(f"{name} {found}" for name, found in {**student["versions"], **shipped_by}.items())
    context = {
        "title": f"{' / '.join(names[:4])}{' …' if len(names) > 4 else ''}: a classifier without labels",
        "verdict": verdict(metrics, name),
        "words": words(metrics, name, exported)
        + beside(other, "test" if name == "dev" else "dev")
        + foretold(forecast, metrics),
        "split": name,
        "note": values.report.note,
        "license": values.report.license,
        "fields": fields(
            "onnxruntime",
            values.report,
            values.fetch,
            test.get("onnx"),
            test["n"],
            values.fetch.models[values.train.base],
        ),
        "warning": forecast["warnings"],
        "classes": names,
        "multi_label": task.multi_label,
        "choices": [*names, NONE] if task.multi_label else names,
        "separator": SEPARATOR,
        "source": named(values.fetch.dataset),
        "teachers": [named(values.fetch.models[name]) for name in values.score],
        "panel": teacher_rows(label, values),
        "assistant": " ".join(named(values.fetch.models[one.base]) for one in values.assist.values())
        if values.assist
        else None,
        "student": named(values.fetch.models[values.train.base]),
        "kind_of_label": "the calibrated probabilities"
        if values.train.targets == "soft"
        else "the likeliest class",
        "learned": f"{len(sources):,}",
        "people": sources.count("person"),
        "max_tokens": values.train.max_tokens,
        "metrics": metrics,
        "rows": rows,
        "onnx": next((row for row in rows if row["who"] == "onnx"), None),
        "charts": drawn,
        "shares": [
            {"name": name, "before": f"{label['shares']['before'][name]:.1%}", "after": f"{share:.1%}"}
            for name, share in label["shares"]["after"].items()
        ],
        "confusion": [
            confusion(who, read_text_rows(plots / f"confusion_{who}.csv"), names)
            for who in ("teacher", "student")
        ]
        if metrics["n"]
        else [],
        "speeds": speeds(values.score),
        "mistakes_of": mistakes_of,
        "mistakes": [row | {"confidence": f"{row['confidence']:.2f}"} for row in mistakes.to_pylist()]
        if show
        else [],
        "review": read_text_rows(args.review) if show else [],
        "int8": values.export.precision == "int8",
        "made": f"Made with {versions}. {precisions(label['teachers'])}, the student learned in "
        f"{arithmetic(student['precision'])}.",
        "parameters": yaml.safe_dump(
            values.model_dump(exclude={"runtime"}), sort_keys=False, allow_unicode=True, width=100
        ).strip(),
    }
    written = pages(context)
    args.reports.mkdir(parents=True, exist_ok=True)
    for path, name in (
        (args.reports / "index.html", "index.html"),
        (args.reports / "report.md", "report.md"),
        (args.card, "card.md"),
    ):
        path.write_text(written[name], encoding="utf-8")
    say(f"report: {args.reports / 'index.html'} ({len(written['index.html'].encode()) / 1e3:.0f} kB)")


if __name__ == "__main__":
    run(main)
