"""Compares the answers of teacher, assistant, student, its ONNX form and baseline with gold, on dev or on test.

Loads no model. It is the only stage that reads gold.

usage: python -m stages.evaluate data/pool.parquet data/test.parquet data/dev.parquet data/dev_gold.parquet \\
           data/dev_labels.csv data/teacher_dev.parquet data/assistant_dev.parquet data/student_dev.parquet \\
           data/onnx_dev.parquet data/baseline_dev.parquet metrics/dev.json data/mistakes_dev.parquet plots/dev

Where there is no assistant, the teacher's answers stand in its place.
"""

import csv

from nolabels.core import params
from nolabels.core.stage import path_arguments, run, say
from nolabels.core.tables import about, read_table, write_json, write_table
from nolabels.data.annotations import read_answers
from nolabels.reporting.comparison import MODELS, compare_tables, mistakes_table
from nolabels.reporting.curves import plot_tables
from nolabels.reporting.metrics import classes_without_gold, comparison_metrics
from nolabels.reporting.summary import summary_lines

PATHS = {
    "pool": "pool texts, whose answers belong into data/corrections.csv",
    "other": "the other one of dev and test",
    "texts": "the texts to compare on: dev or test",
    "gold": "the gold answers of the source",
    "labels": "csv of gold answers that people gave; they count before those of the source",
    "teacher": "the teacher's answers",
    "assistant": "answers of the model whose labels the student learned: the assistant, or the teacher again",
    "student": "the student's answers",
    "onnx": "the answers of the student's ONNX form",
    "baseline": "the baseline's answers",
    "metrics": "JSON to write",
    "mistakes": "table to write: texts that teacher or student classify wrongly",
    "plots": "folder to write: confusion, calibration, coverage and confidence as csv",
}


def read_gold(args, task, ids):
    """{id: class names} of the texts with gold."""
    elsewhere = {
        "data/corrections.csv": read_table(args.pool, ["id"])["id"],
        f"data/{args.other.stem}_labels.csv": read_table(args.other, ["id"])["id"],
    }
    people = read_answers(args.labels, task, ids, elsewhere)
    source = read_table(args.gold)
    return dict(zip(source["id"].to_pylist(), source["labels"].to_pylist(), strict=True)) | people


def read_predictions(args):
    """{model: its table of answers}, without the assistant where the teacher stands in its place."""
    models = [model for model in MODELS if model != "assistant" or args.assistant != args.teacher]
    return {model: read_table(getattr(args, model)) for model in models}


def write_csv(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    task, split = params.load().task, args.texts.stem

    texts = read_table(args.texts, ["id", "text"])
    gold = read_gold(args, task, texts["id"])
    tables = read_predictions(args)
    comparison = compare_tables(tables, texts["id"].to_pylist(), gold, task)
    # the baseline is no model that ships, and its table says nothing of its size
    models = {model: about(table)["model"] for model, table in tables.items() if model != "baseline"}
    metrics = comparison_metrics(comparison, models)

    write_json(args.metrics, metrics)
    for name, (columns, rows) in plot_tables(comparison).items():
        write_csv(args.plots / name, columns, rows)
    write_table(args.mistakes, mistakes_table(comparison, texts))
    if absent := classes_without_gold(comparison):
        say(f"evaluate: {split}: warning: gold has no text of the class {', '.join(absent)}")
    say("\n".join(summary_lines(split, metrics)))


if __name__ == "__main__":
    run(main)
