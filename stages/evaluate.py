"""Compares the answers of teacher, student, its ONNX form and baseline with gold.

Loads no model; alone reads gold.

usage: python -m stages.evaluate data/pool.parquet data/test.parquet data/gold.parquet data/test_labels.csv \\
           data/teacher_test.parquet data/student_test.parquet data/onnx_test.parquet \\
           data/baseline_test.parquet metrics/evaluate.json data/mistakes.parquet \\
           plots/confusion_teacher.csv plots/confusion_student.csv
"""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels import params
from nolabels.people import read_answers
from nolabels.stage import arguments, run, say
from nolabels.statistics import mcnemar, scores, shares
from nolabels.tables import about, matrix, read_table, write_json, write_table


def read_gold(gold, answers, ids, names):
    """Class index of each test text, -1 where there is none; a person's answer counts before the source's."""
    found = dict(
        zip(gold["id"].to_pylist(), (labels[0] for labels in gold["labels"].to_pylist()), strict=True)
    )
    found.update(answers)
    return np.array(
        [names.index(found[identifier]) if identifier in found else -1 for identifier in ids], int
    )


def indices(column, names):
    """A column of lists of one class name -> N class indices."""
    index = {name: number for number, name in enumerate(names)}
    return np.array([index[labels[0]] for labels in column.to_pylist()], int)


def write_confusion(path, gold, answers, names):
    """actual, predicted: a line for each text, as DVC's confusion template reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["actual", "predicted"])
        writer.writerows(
            (names[actual], names[predicted]) for actual, predicted in zip(gold, answers, strict=True)
        )


def compare(gold, answers, names):
    """The part of the metrics that needs gold. gold: N; answers: {who: N class indices}."""
    found = {who: scores(gold, given, names) for who, given in answers.items()}
    teacher, student = answers["teacher"] == gold, answers["student"] == gold
    found["difference"] = {
        "accuracy": float(student.mean() - teacher.mean()),
        "p_value": mcnemar(teacher, student),
    }
    found["majority"] = max(shares(gold, names).values())
    return found


def table_lines(metrics):
    """The comparison as a person reads it at the end of a run."""
    lines = [f"{'':14}{'accuracy':>9}   {'95 % interval':<15} {'macro F1':>9}"]
    titles = {
        "teacher": "teacher",
        "teacher_raw": "  uncalibrated",
        "student": "student",
        "onnx": "  as ONNX",
        "baseline": "TF-IDF + LR",
    }
    for who, title in titles.items():
        row = metrics[who]
        interval = f"{row['accuracy_low']:.4f}-{row['accuracy_high']:.4f}"
        lines.append(f"{title:14}{row['accuracy']:>9.4f}   {interval:<15} {row['macro_f1']:>9.4f}")
    difference, sizes = (
        metrics["difference"],
        [metrics["size"].get(who, {}) for who in ("teacher", "student")],
    )
    lines.append(
        f"student - teacher {difference['accuracy']:+.4f} (exact McNemar p = {difference['p_value']:.2g}) on {metrics['n']} texts; "
        f"they agree on {metrics['agreement']:.1%}; majority class {metrics['majority']:.4f}"
    )
    if all("parameters" in size for size in sizes):
        lines.append(
            "parameters {:.1f} M (teacher), {:.1f} M (student)".format(
                *(size["parameters"] / 1e6 for size in sizes)
            )
        )
    return lines


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts, to tell apart whose answers are whose"),
        ("test", "test texts"),
        ("gold", "answers of the source"),
        ("test_labels", "csv of a person's answers to test texts"),
        ("teacher", "the teacher's answers"),
        ("student", "the student's answers"),
        ("onnx", "the answers of the student's ONNX form"),
        ("baseline", "the baseline's answers"),
        ("metrics", "JSON to write"),
        ("mistakes", "table to write: where teacher or student are wrong"),
        ("confusion_teacher", "csv to write: actual and predicted"),
        ("confusion_student", "csv to write: actual and predicted"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    names = params.load().task.names

    test = read_table(args.test, ["id", "text"])
    ids, texts = test["id"].to_pylist(), test["text"].to_pylist()
    pool_ids = set(read_table(args.pool, ["id"])["id"].to_pylist())
    people = read_answers(
        args.test_labels, names, set(ids), pool_ids, "a pool text; it belongs into data/corrections.csv"
    )
    gold = read_gold(read_table(args.gold), people, ids, names)
    tables = {who: read_table(getattr(args, who)) for who in ("teacher", "student", "onnx", "baseline")}
    answers = {who: indices(table["labels"], names) for who, table in tables.items()}
    answers["teacher_raw"] = indices(tables["teacher"]["raw_labels"], names)
    answers = {who: answers[who] for who in ("teacher", "teacher_raw", "student", "onnx", "baseline")}

    known = gold >= 0
    metrics = {}
    if known.any():
        metrics |= compare(gold[known], {who: given[known] for who, given in answers.items()}, names)
    metrics["agreement"] = float((answers["teacher"] == answers["student"]).mean())
    metrics["n"] = int(known.sum())
    metrics["size"] = {
        who: {key: model[key] for key in ("parameters", "megabytes") if model.get(key) is not None}
        for who, model in ((who, about(tables[who])["model"]) for who in ("teacher", "student", "onnx"))
    }
    write_json(args.metrics, metrics)
    for who, path in (("teacher", args.confusion_teacher), ("student", args.confusion_student)):
        write_confusion(path, gold[known], answers[who][known], names)
    wrong = np.flatnonzero(known & ((answers["teacher"] != gold) | (answers["student"] != gold)))
    confidence = matrix(tables["student"]["probabilities"]).max(1)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    columns = {
        "id": pa.array([ids[row] for row in wrong], pa.string()),
        "text": pa.array([texts[row] for row in wrong], pa.string()),
        **{
            title: pa.array([names[given[row]] for row in wrong], pa.string())
            for title, given in (
                ("gold", gold),
                ("teacher", answers["teacher"]),
                ("student", answers["student"]),
            )
        },
        "confidence": pa.array(confidence[wrong], pa.float32()),
    }
    write_table(args.mistakes, pa.table(columns))
    absent = [name for number, name in enumerate(names) if known.any() and number not in gold[known]]
    if absent:
        say(f"evaluate: warning: gold has no text of the class {', '.join(absent)}")
    if known.any():
        say("\n".join(["", *table_lines(metrics)]))
    else:
        say(
            f"evaluate: accuracy is unknown without gold answers; student and teacher agree on {metrics['agreement']:.1%} "
            "of unseen texts. To find out: answer data/review_test.csv and save it as data/test_labels.csv"
        )


if __name__ == "__main__":
    run(main)
