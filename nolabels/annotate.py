"""Texts to answer in Label Studio, and the answers back from there.

    python -m nolabels.annotate export DIR [--count N]
    python -m nolabels.annotate import EXPORT.json... [--replace]

export writes labeling_config.xml (for the project's labeling setup) and pool.json, dev.json and test.json (to import)
from what the last `dvc repro` left. pool.json holds the texts with the lowest confidence, lowest first,
each with the teacher's answer as a prediction. dev.json and test.json hold random texts without it: it would sway the people.
Texts that are answered already are left out.

import reads exports of the forms JSON and JSON-MIN. Each answer goes by the id of its text into
data/corrections.csv (pool), data/dev_labels.csv or data/test_labels.csv. Where a text has another answer there, nothing is
written, unless --replace says that the new one counts. What is not taken is counted, in a line for each reason.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nolabels.core import params
from nolabels.core.labels import margins
from nolabels.core.spelling import join
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import about, matrix, read_table
from nolabels.data.annotations import read_answers, read_ids
from nolabels.data.answer_files import with_answers, write_files
from nolabels.data.labelstudio import Given, configuration, prediction, read_exports, to_task

DATA = Path("data")
# the file that answers to each part belong into
FILES = {"pool": DATA / "corrections.csv", "dev": DATA / "dev_labels.csv", "test": DATA / "test_labels.csv"}
LEFT = {
    "unanswered": "not answered yet",
    "skipped": "skipped",
    "empty": "without a class",
    "several": "with classes that exclude each other",
    "disagree": "answered differently by several annotators: mark one answer as ground truth in Label Studio",
    "unknown": "in none of pool, dev and test now; the export stays good for the time when they are",
    "moved": "given for another part than the one that they are of now",
    "edited": "with a text that is not the one of its id",
    "shown": "of dev or test, but with a model's answer shown, which sways",
}


def read_texts() -> dict[str, pa.Table]:
    """{part: table of id and text} of pool, dev and test."""
    return {part: read_table(DATA / f"{part}.parquet", ["id", "text"]) for part in FILES}


def pool_tasks(pool: pa.Table, task: params.Task, answered: pa.Array, count: int) -> list[dict]:
    """Tasks of the pool texts with the lowest confidence, lowest first, with its answers.

    pool: table of id and text; answered: ids that a person has answered. Raises UserError where the teacher's labels
    are of other texts or classes.
    """
    path = DATA / "labeled.parquet"
    labeled = read_table(path)
    if not labeled["id"].equals(pool["id"]):
        raise UserError(f"{path}: must hold the texts of {DATA / 'pool.parquet'}; run dvc repro")
    if about(labeled)["classes"] != task.labels:
        others = ", ".join(about(labeled)["classes"])
        raise UserError(f"{path}: must be of {', '.join(task.labels)}, found {others}; run dvc repro")
    order = np.argsort(margins(matrix(labeled["probabilities"]), task), kind="stable")
    known = pc.is_in(pool["id"], value_set=answered).to_numpy(zero_copy_only=False)
    chosen = order[~known[order]][:count]
    version = f"teacher-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    teacher = labeled.select(["labels", "confidence"]).take(chosen).to_pylist()
    tasks = []
    for row, answer in zip(pool.take(chosen).to_pylist(), teacher, strict=True):
        score = round(answer["confidence"], 4)
        tasks.append(
            to_task(row["id"], row["text"], "pool")
            | {"predictions": [prediction(answer["labels"], score, version)]}
        )
    return tasks


def export(folder: Path, count: int | None, values: params.Params) -> None:
    """Writes configuration and tasks; count: texts of each part, or None for select.review."""
    count = values.select.review if count is None else count
    texts = read_texts()
    contents = {"labeling_config.xml": configuration(values.task)}
    for part, table in texts.items():
        answered = pa.array(sorted(read_ids(FILES[part])), pa.string())
        if part == "pool":
            tasks = pool_tasks(table, values.task, answered, count)
        else:  # they stand in draw order, which is that of a hash
            table = table.filter(pc.invert(pc.is_in(table["id"], value_set=answered)))
            tasks = [to_task(row["id"], row["text"], part) for row in table.slice(0, count).to_pylist()]
        contents[f"{part}.json"] = json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"
        say(f"{folder / part}.json: {len(tasks)} texts")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        partial = folder / f".{name}.partial"
        partial.write_text(content, encoding="utf-8")
        partial.replace(folder / name)
    say(f"{folder / 'labeling_config.xml'}: the project's labeling setup (Code)")


def sort_out(
    exported: dict[str, Given], texts: dict[str, dict[str, str]]
) -> tuple[dict[str, dict[str, tuple]], dict[str, list[str]]]:
    """What an export holds, by what is done with it.

    exported: by id; texts: {part: {id: text}}. Returns {part: {id: tuple of class names}} and {reason
    of LEFT: list of ids}.
    """
    taken: dict[str, dict[str, tuple]] = {part: {} for part in FILES}
    left: dict[str, list[str]] = {reason: [] for reason in LEFT}
    for given, text in exported.items():
        part = next((name for name, ids in texts.items() if given in ids), None)
        if not text.answers:
            reason = next(
                (name for name in ("several", "empty", "skipped") if getattr(text, name)), "unanswered"
            )
        elif text.edited:
            reason = "edited"
        elif part is None:
            reason = "unknown"
        elif text.part not in (None, part):
            reason = "moved"
        elif text.shown and part != "pool":
            reason = "shown"
        elif len(text.answers) > 1:
            reason = "disagree"
        else:
            (taken[part][given],) = text.answers
            continue
        left[reason].append(given)
    return taken, left


def compare(path: Path, known: dict[str, tuple], taken: dict[str, tuple], replace: bool) -> Counter:
    """Counts of what is new, the same and other in an answer file. Raises UserError where some is other.

    known, taken: {id: tuple of class names}; replace: whether others are welcome.
    """
    counts = Counter(
        "added" if given not in known else "the same as before" if known[given] == names else "replaced"
        for given, names in taken.items()
    )
    if counts["replaced"] and not replace:
        given = next(given for given, names in taken.items() if known.get(given, names) != names)
        raise UserError(
            f"{path}: answers must be those that it holds already, found {counts['replaced']} other ({given}: "
            f"{join(known[given])!r}, now {join(taken[given])!r}); nothing was written; --replace takes the new ones"
        )
    return counts


def take(paths: list[Path], replace: bool, values: params.Params) -> None:
    """Reads exports and writes what they answer into the three files, into all or none."""
    exported = read_exports(paths, values.task)
    tables = read_texts()
    texts = {
        part: dict(zip(*(table[name].to_pylist() for name in ("id", "text")), strict=True))
        for part, table in tables.items()
    }
    taken, left = sort_out(exported, texts)
    contents, lines = {}, []
    for part, path in FILES.items():
        elsewhere = {str(file): tables[other]["id"] for other, file in FILES.items() if other != part}
        known = read_answers(path, values.task, tables[part]["id"], elsewhere)
        counts = compare(path, known, taken[part], replace)
        wanted = {given: join(names) for given, names in taken[part].items() if known.get(given) != names}
        if wanted:
            contents[path] = with_answers(path, wanted, texts[part])
        if counts:
            lines.append(f"{path}: " + ", ".join(f"{number} {what}" for what, number in counts.items()))
    write_files(contents)
    for line in lines:
        say(line)
    for reason, ids in left.items():
        if ids:
            say(f"not taken: {len(ids)} {LEFT[reason]} (first: {ids[0]})")
    say(
        f"{sum(map(len, taken.values()))} of {len(exported)} texts answered"
        + ("; next: dvc repro" if contents else "")
    )


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("export", help="writes tasks and configuration")
    command.add_argument("folder", type=Path, metavar="DIR", help="folder to write")
    command.add_argument(
        "--count", type=int, metavar="N", help="texts of each part, 0 or more (select.review)"
    )
    command = commands.add_parser("import", help="takes answers")
    command.add_argument("files", type=Path, nargs="+", metavar="EXPORT.json", help="form JSON or JSON-MIN")
    command.add_argument(
        "--replace", action="store_true", help="the new answer counts where there is another"
    )
    args = parser.parse_args(argv)
    if args.command == "export" and args.count is not None and args.count < 0:
        parser.error(f"--count: must be 0 or more, found {args.count}")
    values = params.load()
    if args.command == "export":
        export(args.folder, args.count, values)
    else:
        take(args.files, args.replace, values)


if __name__ == "__main__":
    run(main)
