"""New texts every week: what 1,000 new rows cost, and whether last week's student is the better base.

usage: python -m benchmarks.weekly [--rows 10000] [--new 1000]

Needs a `dvc repro` and `python -m benchmarks.tasks prepare`. Two sentence encoders label news in four topics, a student of
22.7 M parameters learns from all texts of the pool's zone; then rows are added. The student of the second week is
trained twice: from the same base as in the first week, and from the first week's student. All is done by `dvc repro`
in a clone of the project under .work/weekly; the last commit is measured. Writes benchmarks/weekly.json and a table of
benchmarks/quality.md. About an hour of one core.
"""

import csv
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from benchmarks import task_tables, task_wording
from benchmarks.clone import Clone
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import write_json
from nolabels.setup import presets

WORK, JSON, PAGE = Path(".work/weekly"), Path("benchmarks/weekly.json"), Path("benchmarks/quality.md")
SOURCE = task_wording.WORK / "agnews" / "agnews.parquet"
WORDING = "This news article is about {class}."


def values(more: dict) -> dict:
    """The preset of the first week; more: keys of `fetch.models` and `train` that another week changes."""
    small = yaml.safe_load((presets.FOLDER / "reviews-small.yaml").read_text(encoding="utf-8"))
    classes = task_wording.wording().tasks["agnews"].classes
    encoder = {"kind": "similarity", "templates": [{"class_text": WORDING}], "max_tokens": 256}
    encoder |= {"long_text": "truncate", "stride": None, "precision": "auto"}
    return {
        "task": {"classes": [item.model_dump(exclude_none=True) for item in classes]},
        "fetch": {
            "dataset": {"own": "news.csv"},
            "models": small["fetch"]["models"] | more.get("models", {}),
        },
        "sample": {
            **{"format": "csv", "columns": None, "text": "text", "gold": {"column": "label", "names": True}},
            **{
                "zones": {"test": 0.1, "dev": 0.1, "pool": 0.8},
                "pool": None,
                "valid": 50,
                "test": None,
                "dev": None,
            },
        },
        "score": {"teacher": None, "base": encoder, "encoder": encoder},
        "label": {"refine": "auto"},
        "train": {"base": "encoder", "epochs": 2, "learning_rate": 1e-4, "batch_size": 32}
        | more.get("train", {}),
    }


def write_rows(project: Clone, rows: list[dict]) -> None:
    with (project.folder / "data/own/news.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows)


def week(project: Clone, name: str, **more) -> dict:
    """One `dvc repro` in the clone: how many questions the teachers were asked, seconds of training, accuracies."""
    project.set_params(values(more))
    printed = project.repro()
    asked = [int(count) for count in re.findall(r"(\d+) known, (?:\d+) to ask", printed)]
    new = [int(count) for count in re.findall(r"known, (\d+) to ask", printed)]
    read = {part: project.read_json(f"metrics/{part}.json") for part in ("dev", "test")}
    seconds = project.read_json("metrics/speed.json")["train"]["seconds"]
    row = {"week": name, "asked": sum(new), "known": sum(asked), "train_seconds": seconds}
    row |= {f"{who}_{part}": read[part][who]["accuracy"] for who in ("teacher", "student") for part in read}
    row |= {"texts": {part: read[part]["n"] for part in read}}
    say(f"weekly: {name}: {row}")
    return row


def keep_student(project: Clone) -> None:
    """The finished student as a model of one's own."""
    folder = project.folder / "models/own/last"
    folder.mkdir(parents=True)
    shutil.copytree(project.folder / "models/student", folder / "model")
    (folder / "README.md").write_text("The student of the first week.\n", encoding="utf-8")


def table(rows: list[dict]) -> str:
    """The rows in Markdown."""
    lines = [
        "| run | questions asked | known already | training, seconds | teachers: dev; test | student: dev; test |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        figures = " | ".join(
            f"{row[f'{who}_dev']:.4f}; {row[f'{who}_test']:.4f}" for who in ("teacher", "student")
        )
        lines.append(
            f"| {row['week']} | {row['asked']:,} | {row['known']:,} | {row['train_seconds']:.0f} | {figures} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=10_000, metavar="N", help="of the first week")
    parser.add_argument("--new", type=int, default=1_000, metavar="N", help="of the second")
    args = parser.parse_args(argv)
    if not SOURCE.exists():
        raise UserError(
            f"{SOURCE}: must be there, found nothing; python -m benchmarks.tasks prepare makes it"
        )
    rows = pq.read_table(SOURCE, columns=["text", "label"]).slice(0, args.rows + args.new).to_pylist()
    project = Clone(WORK / "project")
    write_rows(project, rows[: args.rows])
    done = [week(project, f"{args.rows:,} rows")]
    keep_student(project)
    write_rows(project, rows)
    done.append(week(project, f"{args.new:,} more, from the same base"))
    last = {"models": {"last": {"own": "model"}}, "train": {"base": "last"}}
    done.append(week(project, f"{args.new:,} more, from last week's student", **last))
    write_json(JSON, done)
    task_tables.write_block("weekly", table(done), PAGE)


if __name__ == "__main__":
    run(main)
