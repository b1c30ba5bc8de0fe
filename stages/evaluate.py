"""Compares the answers of teacher, assistant, student, its ONNX form and baseline with gold, on dev or on test.

Loads no model; it is the only stage that reads gold.

usage: python -m stages.evaluate data/pool.parquet data/test.parquet data/dev.parquet data/dev_gold.parquet \\
           data/dev_labels.csv data/teacher_dev.parquet data/assistant_dev.parquet data/student_dev.parquet \\
           data/onnx_dev.parquet data/baseline_dev.parquet metrics/dev.json data/mistakes_dev.parquet plots/dev

Where there is no assistant, the teacher's answers stand in its place.
"""

from pathlib import Path

from nolabels.core import params
from nolabels.core.labels import from_column
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import EACH, about, matrix, read_table, write_json
from nolabels.data.annotations import read_answers
from nolabels.reporting.comparison import read_gold, write_mistakes
from nolabels.reporting.curves import write_plots
from nolabels.reporting.metrics import compare, describe
from nolabels.reporting.statistics import scores
from nolabels.reporting.summary import table_lines, unknown_lines


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
