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

from nolabels.core import params, speed
from nolabels.core.spelling import NONE, SEPARATOR
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import about, read_table
from nolabels.reporting import charts
from nolabels.reporting.card import fields, named

TITLES = {
    "teacher": "teacher, calibrated",
    "teacher_raw": "teacher, as it answers",
    "assistant": "assistant",
    "student": "student",
    "onnx": "student as ONNX",
    "baseline": "TF-IDF + logistic regression",
}
ROLES = {
    "teacher_raw": "teacher",
    "teacher_alone": "teacher",
}  # whose colour it has, where that is not its own
MISTAKES = 20  # on the page
PAIRS = 15  # of confused classes, where there are too many for a table of all
TABLE_CLASSES = 10


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


def model_rows(metrics):
    """The table of models, all cells text."""
    rows = []
    for who, title in TITLES.items():
        if who in metrics:
            rows.append((who, title, metrics[who]))
        if who == "teacher_raw":
            rows += [
                ("teacher_alone", f"{name} alone", row) for name, row in metrics.get("teachers", {}).items()
            ]
    found = []
    for who, title, row in rows:
        size = metrics["size"].get(who.removesuffix("_raw"), {})
        found.append(
            {
                "who": who,
                "title": title,
                "figures": [row[key] for key in ("accuracy", "accuracy_low", "accuracy_high")],
                "accuracy": f"{row['accuracy']:.4f}",
                "interval": f"{row['accuracy_low']:.4f}–{row['accuracy_high']:.4f}",
                "macro_f1": f"{row['macro_f1']:.4f}",
                "ece": f"{row['ece']:.4f}" if "ece" in row else "",
                "parameters": f"{size['parameters'] / 1e6:.1f} M" if "parameters" in size else "",
                "megabytes": f"{size['megabytes']:.0f}" if "megabytes" in size else "",
            }
        )
    return found


def teacher_rows(label, values):
    """The table of teachers, all cells text; none for one. label: metrics of label."""
    found = label["teachers"]
    if len(found) == 1:
        return []
    return [
        {
            "name": name,
            "model": named(values.fetch.models[name]),
            "kind": values.score[name].kind,
            "weight": f"{one['weight']:.2f}",
            "refined": "yes" if one["refined"] else "no",
            "agreement": f"{one['agreement']:.1%}",
            "shares": ", ".join(f"{kind} {share:.1%}" for kind, share in one.get("shares", {}).items()),
        }
        for name, one in found.items()
    ]


def verdict(metrics, name):
    """The one sentence to read: how the student stands beside the teacher. name: dev or test."""
    if not metrics["n"]:
        return (
            "How good student and teacher are is unknown: nobody has answered test or dev texts. "
            "Answer data/review_test.csv and save it as data/test_labels.csv to find out."
        )
    difference, n = metrics["difference"], metrics["n"]
    points, p = abs(difference["accuracy"]) * 100, difference["p_value"]
    student = metrics["student"]["accuracy"]
    found = f"The student answers {student:.1%} of the {name} texts correctly"
    if p >= 0.05:
        return f"{found}; there is no significant difference from the teacher on {n} texts (p = {p:.2g})."
    better = "more" if difference["accuracy"] > 0 else "fewer"
    return f"{found}, {points:.1f} points {better} than the teacher (exact McNemar p = {p:.2g}, {n} texts)."


def words(metrics, name, exported):
    """What else there is to say, a sentence a line. name: dev or test."""
    lines = []
    if metrics["n"]:
        low, high = metrics["student"]["accuracy_low"], metrics["student"]["accuracy_high"]
        lines.append(
            f"On other texts of the same kind the student's accuracy is between {low:.1%} and {high:.1%}, "
            "as far as these texts can tell (95 %)."
        )
        gain = metrics["student"]["accuracy"] - metrics["baseline"]["accuracy"]
        lines.append(
            f"TF-IDF and logistic regression, from the same labels, are {abs(gain) * 100:.1f} points "
            f"{'below' if gain > 0 else 'above'} it; always answering the most frequent class gives "
            f"{metrics['majority']:.1%}."
        )
        ece, floor = metrics["student"]["ece"], metrics["student"]["ece_floor"]
        lines.append(
            f"The student's probabilities are off by {ece * 100:.1f} points on average; a perfect model would "
            f"show {floor * 100:.1f} on as many texts."
        )
    if metrics["texts"]:
        lines.append(
            f"Teacher and student give the same answer to {metrics['agreement']:.1%} of the {name} texts."
        )
        for who, found in metrics["unseen"].items():
            lines.append(
                f"The {who}'s mean confidence on the {name} texts is {found['confidence']:.3f}; it is 0.9 or more on "
                f"{found['coverage']:.1%} of them."
            )
    lines.append(
        f"The ONNX form gives the student's label to {exported['agreement']:.1%} of the dev and test texts and has "
        f"{exported['megabytes']:.1f} MB."
    )
    return lines


def beside(metrics, name):
    """The figures of the split that the page does not lead with, one sentence; none without gold."""
    if not metrics["n"]:
        return []
    purpose = "by which settings are chosen" if name == "dev" else "kept for the final figure"
    accuracies = " and ".join(f"the {who} {metrics[who]['accuracy']:.1%}" for who in ("teacher", "student"))
    return [f"On the {metrics['n']} {name} texts, {purpose}, {accuracies} are correct."]


def foretold(forecast, metrics):
    """What was expected without gold, and how good that was where there is some, a sentence a line."""
    lines = []
    for who in ("teacher", "student"):
        found = forecast[who]
        line = f"Without any answer of people the {who} was expected at {found['expected']:.1%}"
        line += f" ({found['expected_low']:.1%} to {found['expected_high']:.1%})"
        if metrics["n"]:
            off = (found["expected"] - metrics[who]["accuracy"]) * 100
            line += f", {abs(off):.1f} points too {'high' if off > 0 else 'low'}"
        lines.append(f"{line}.")
    source = (
        "That is how often the sentence encoders agree, which was within 5 points of the teachers' accuracy on average over "
        "eight tasks (benchmarks/tasks.md)"
        if forecast["source"] == "agreement"
        else "That is how sure the answers are, which was off by up to 23 points on eight tasks (benchmarks/tasks.md)"
    )
    lines.append(
        f"{source}. It holds as far as nothing speaks against the labels, and no signal sees a teacher that is wrong in "
        "a consistent way."
    )
    return lines


def confusion(who, rows, names):
    """A table of counts for few classes, of the most confused pairs for many. rows: actual, predicted."""
    pairs = [(row["actual"], row["predicted"]) for row in rows]
    counts = {pair: pairs.count(pair) for pair in dict.fromkeys(pairs)}
    seen = list(dict.fromkeys([*names, *(name for pair in counts for name in pair)]))
    if len(seen) <= TABLE_CLASSES:
        return {
            "who": who,
            "caption": f"What the {who} answered (columns) to texts that people gave a class (rows)",
            "head": ["people", *seen],
            "rows": [[gold, *(counts.get((gold, given), 0) for given in seen)] for gold in seen],
        }
    wrong = sorted(((-count, *pair) for pair, count in counts.items() if pair[0] != pair[1]))[:PAIRS]
    return {
        "who": who,
        "caption": f"What the {who} confuses most",
        "head": ["people", who, "texts"],
        "rows": [[gold, given, -count] for count, gold, given in wrong],
    }


def speeds(teachers):
    """Rates of metrics/speed.json in words, with the day of each: it may be another run's. teachers: their names."""
    sayings = {
        **{
            f"score_{name}_pool": f"The teacher {name} read {{texts_per_second:,.1f}} texts a second, with all its templates"
            for name in teachers
        },
        "train": "Training took {seconds:,.0f} seconds",
        "export": "The student as ONNX read {texts_per_second:,.0f} texts a second",
    }
    found = [(saying, speed.measured(name)) for name, saying in sayings.items()]
    when = " (measured on {measured}, {on})."
    return [f"{saying}{when}".format(**entry) for saying, entry in found if entry]


def precisions(teachers):
    """In which arithmetic the teachers answered. teachers: of the metrics of label."""
    found = sorted({arithmetic(one["precision"]) for one in teachers.values()})
    return f"The {'teacher' if len(teachers) == 1 else 'teachers'} answered in {' and '.join(found)}"


def arithmetic(precision):
    return "the arithmetic that its server chose" if precision == "auto" else precision


def pages(context):
    """{name: text} of the three pages."""
    import jinja2

    found = {}
    for name in ("index.html", "report.md", "card.md"):
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("nolabels.reporting", "pages"),
            autoescape=name.endswith(".html"),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=name.endswith(".html"),
        )
        found[name] = environment.get_template(name).render(context)
    return found


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
        "unsure": forecast["unsure"],
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
