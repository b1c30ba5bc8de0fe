"""Compares the answers of teacher, assistant, student, its ONNX form and baseline with gold, on dev or on test.

Loads no model; it is the only stage that reads gold.

usage: python -m stages.evaluate data/pool.parquet data/test.parquet data/dev.parquet data/dev_gold.parquet \\
           data/dev_labels.csv data/teacher_dev.parquet data/assistant_dev.parquet data/student_dev.parquet \\
           data/onnx_dev.parquet data/baseline_dev.parquet metrics/dev.json data/mistakes_dev.parquet plots/dev

Where there is no assistant, the teacher's answers stand in its place.
"""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels.core import params
from nolabels.core.labels import certainty, from_column, to_column
from nolabels.core.spelling import join
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import EACH, about, matrix, read_table, write_json, write_table
from nolabels.data.annotations import read_answers
from nolabels.reporting.statistics import (
    calibration_error,
    coverage_curve,
    few,
    histogram,
    mcnemar,
    reliability,
    scores,
    shares,
)

SURE = 0.9  # the certainty from which on an answer counts as covered


def read_gold(gold, answers, ids, names):
    """Which texts have gold (N bool) and which classes (N x K bool).

    answers: {id: class names} of a person, which count before the source's.
    """
    found = dict(zip(gold["id"].to_pylist(), gold["labels"].to_pylist(), strict=True)) | answers
    known = np.array([identifier in found for identifier in ids], bool)
    labels = pa.array([found.get(identifier, []) for identifier in ids], pa.list_(pa.string()))
    return known, from_column(pa.chunked_array([labels]), names)


def write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_plots(folder, gold, answers, probabilities, known, task):
    """The curves, a file each, in the forms that DVC's own templates draw.

    gold, answers[who]: N x K bool; probabilities[who]: N x K; known: N bool, which texts have gold. Without
    gold all but the histogram of the certainty have their header alone.
    """
    people = ("teacher", "student")
    sure = {who: how_sure(probabilities[who], task) for who in people}
    right = {who: were_right(gold, answers[who], task)[known].ravel() for who in people}
    curves = {who: coverage_curve(sure[who][known].ravel(), right[who]) for who in people}
    lowest = 0.5 if task.multi_label else 1 / len(task.labels)
    counts = {who: histogram(sure[who].ravel(), lowest) for who in people}
    told = {who: spelled(answers[who][known], task.labels) for who in people}
    for who in people:
        actual = spelled(gold[known], task.labels)
        rows = zip(actual, told[who], strict=True)
        write_csv(folder / f"confusion_{who}.csv", ["actual", "predicted"], rows)
        bins = reliability(sure[who][known].ravel(), right[who])
        header = ["confidence", "accuracy", "low", "high", "texts"]
        rows = [[round(found[name], 4) for name in header] for found in bins]
        write_csv(folder / f"calibration_{who}.csv", header, rows)
    for name, found in (("coverage", curves), ("confidence", counts)):
        rows = [
            [round(place, 4), *(round(found[who][number][1], 4) for who in people)]
            for number, (place, _) in enumerate(found["teacher"])
        ]
        write_csv(folder / f"{name}.csv", [name, *people], rows)


def write_mistakes(path, texts, gold, answers, probabilities, known, task):
    """The texts with gold on which teacher or student are wrong, the student's most confident first.

    texts: table of N; the others as in `write_plots`.
    """
    told = {who: spelled(given, task.labels) for who, given in {"gold": gold, **answers}.items()}
    right = [(answers[who] == gold).all(1) for who in ("teacher", "student")]
    wrong = np.flatnonzero(known & ~(right[0] & right[1]))
    confidence = certainty(probabilities["student"], task)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    columns = {
        "id": texts["id"].take(wrong),
        "text": texts["text"].take(wrong),
        **{
            who: pa.array([told[who][row] for row in wrong], pa.string())
            for who in ("gold", "teacher", "student")
        },
        "confidence": pa.array(confidence[wrong], pa.float32()),
    }
    write_table(path, pa.table(columns))


def how_sure(probabilities, task):
    """N x K -> the certainty of each answer; with several labels each of the K decisions is one."""
    return (
        np.maximum(probabilities, 1 - probabilities) if task.multi_label else certainty(probabilities, task)
    )


def were_right(gold, answers, task):
    """N x K bool, twice -> whether each answer is right, in the shape of `how_sure`."""
    return answers == gold if task.multi_label else (answers == gold).all(1)


def spelled(chosen, names):
    """N x K bool -> the classes of each text as one value."""
    return [join(labels) for labels in to_column(chosen, names).to_pylist()]


def compare(gold, answers, probabilities, task):
    """The part of the metrics that needs gold.

    gold: N x K bool; answers: {who: N x K bool}; probabilities: {who: N x K}, of some of them.
    """
    found = {who: scores(gold, given, task) for who, given in answers.items()}
    for who, given in probabilities.items():
        sure, right = how_sure(given, task).ravel(), were_right(gold, answers[who], task).ravel()
        found[who]["ece"], found[who]["ece_floor"] = calibration_error(sure, right)
    teacher, student = ((answers[who] == gold).all(1) for who in ("teacher", "student"))
    found["difference"] = {
        "accuracy": float(student.mean() - teacher.mean()),
        "p_value": mcnemar(teacher, student),
    }
    found["majority"] = float(np.unique(gold, axis=0, return_counts=True)[1].max() / len(gold))
    return found


def describe(answers, probabilities, task):
    """What can be said of answers without gold: how sure they are, and the share of each class.

    answers: N x K bool; probabilities: N x K. coverage: share of the texts whose certainty is at least
    SURE, which are those a person may want to leave to the model.
    """
    sure = certainty(probabilities, task)
    found = {"confidence": float(sure.mean()), "coverage": float((sure >= SURE).mean())}
    return found | few(task.labels, {"shares": shares(answers, task.labels).values()})


def table_lines(name, metrics):
    """The comparison as a person reads it at the end of a run. name: dev or test."""
    several = "micro_f1" in metrics["teacher"]  # accuracy is then that of all classes of a text
    columns = ["macro_f1", *(["micro_f1"] if several else []), "ece"]
    titles = {"macro_f1": "macro F1", "micro_f1": "micro F1", "ece": "ECE"}
    lines = [
        f"{name:14}{'accuracy':>9}   {'95 % interval':<15}"
        + "".join(f" {titles[column]:>9}" for column in columns)
    ]
    names = {
        "teacher": "teacher",
        "teacher_raw": "  uncalibrated",
        "assistant": "assistant",
        "student": "student",
        "onnx": "  as ONNX",
        "baseline": "TF-IDF + LR",
    }
    rows = [(title, metrics[who]) for who, title in names.items() if who in metrics]
    rows[2:2] = [(f"  {who} alone", row) for who, row in metrics.get("teachers", {}).items()]
    for name, row in rows:
        interval = f"{row['accuracy_low']:.4f}-{row['accuracy_high']:.4f}"
        lines.append(
            f"{name:14}{row['accuracy']:>9.4f}   {interval:<15}"
            + "".join(f" {row[column]:>9.4f}" for column in columns if column in row)
        )
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


def unknown_lines(name, metrics):
    """What a person reads who has no gold answers. name: dev or test."""
    lines = [f"evaluate: {name}: accuracy is unknown without gold answers. On its unseen texts"]
    for who, found in metrics["unseen"].items():
        counted = ", ".join(f"{name} {share:.1%}" for name, share in found.get("shares", {}).items())
        lines.append(
            f"  the {who} has a mean confidence of {found['confidence']:.3f}, {SURE} or more on "
            f"{found['coverage']:.1%}" + (f"; it answers {counted}" if counted else "")
        )
    lines.append(
        f"  and they agree on {metrics['agreement']:.1%}, which says nothing of a mistake they share."
    )
    lines.append(f"To find out: answer data/review_{name}.csv and save it as data/{name}_labels.csv")
    return lines


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts, whose answers belong into data/corrections.csv"),
        ("other", "the other of dev and test"),
        ("texts", "the texts to compare on: dev or test"),
        ("gold", "the source's answers to them"),
        ("labels", "csv of a person's answers to them"),
        ("teacher", "the teacher's answers"),
        (
            "assistant",
            "the answers of whom the student learned from: the assistant's, or the teacher's again",
        ),
        ("student", "the student's answers"),
        ("onnx", "the answers of the student's ONNX form"),
        ("baseline", "the baseline's answers"),
        ("metrics", "JSON to write"),
        ("mistakes", "table to write: where teacher or student are wrong"),
        ("plots", "folder to write: confusion, calibration, coverage and confidence as csv"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    task = params.load().task
    names, name = task.labels, args.texts.stem

    texts = read_table(args.texts, ["id", "text"])
    elsewhere = {
        "data/corrections.csv": read_table(args.pool, ["id"])["id"],
        f"data/{args.other.stem}_labels.csv": read_table(args.other, ["id"])["id"],
    }
    people = read_answers(args.labels, task, texts["id"], elsewhere)
    known, gold = read_gold(read_table(args.gold), people, texts["id"].to_pylist(), names)
    models = ["teacher", "assistant", "student", "onnx", "baseline"]
    if args.assistant == args.teacher:
        models.remove("assistant")
    tables = {who: read_table(getattr(args, who)) for who in models}
    answers = {who: from_column(table["labels"], names) for who, table in tables.items()}
    answers["teacher_raw"] = from_column(tables["teacher"]["raw_labels"], names)
    answers = {who: answers[who] for who in ("teacher", "teacher_raw", *models[1:])}

    probabilities = {who: matrix(table["probabilities"]) for who, table in tables.items()}
    metrics = {}
    alone = {
        column.removeprefix(EACH): from_column(tables["teacher"][column], names)[known]
        for column in tables["teacher"].column_names
        if column.startswith(EACH)
    }
    if known.any():
        metrics |= compare(
            gold[known],
            {who: given[known] for who, given in answers.items()},
            {who: given[known] for who, given in probabilities.items()},
            task,
        )
        metrics |= (
            {"teachers": {who: scores(gold[known], given, task) for who, given in alone.items()}}
            if alone
            else {}
        )
    metrics["n"] = int(known.sum())
    metrics["texts"] = len(texts)
    if len(texts):
        metrics["agreement"] = float((answers["teacher"] == answers["student"]).all(1).mean())
        metrics["unseen"] = {
            who: describe(answers[who], probabilities[who], task) for who in ("teacher", "student")
        }
    metrics["size"] = {
        who: {key: model[key] for key in ("parameters", "megabytes") if model.get(key) is not None}
        for who, model in ((who, about(tables[who])["model"]) for who in models if who != "baseline")
    }
    write_json(args.metrics, metrics)
    write_plots(args.plots, gold, answers, probabilities, known, task)
    write_mistakes(args.mistakes, texts, gold, answers, probabilities, known, task)
    absent = [name for name, held in zip(names, gold[known].any(0), strict=True) if known.any() and not held]
    if absent:
        say(f"evaluate: {name}: warning: gold has no text of the class {', '.join(absent)}")
    if known.any():
        say("\n".join(["", *table_lines(name, metrics)]))
    elif len(texts):
        say("\n".join(unknown_lines(name, metrics)))
    else:
        say(f"evaluate: {name} holds no texts")


if __name__ == "__main__":
    run(main)
