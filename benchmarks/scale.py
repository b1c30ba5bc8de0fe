"""Time and memory of the stages from a hundred thousand to a million texts, and what ten million would take.

usage: python -m benchmarks.scale [--sizes 100000 300000 1000000]

Makes a csv of random words, 200 bytes a text as in 10 million of 2 GB, and takes it through the stages' own
scripts in a folder of its own, with tiny random models as teacher and student, which read the first 8 tokens of
a text: what is measured is the pipeline, not a model. Writes benchmarks/scale.json, a row for each stage and size,
and the table of docs/scale.md.
"""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measuring import clock, largest
from nolabels.core.schemas import GOLD, POOL, TEXTS, predictions_schema
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import fixed, write_json, write_table

JSON, PAGE = Path("benchmarks/scale.json"), Path("docs/scale.md")
WORK = Path(".work/scale")
TEST = 1000  # test texts beside the pool
AIM = 10_000_000
THREADS = 1  # a second one would wait for the first most of the time, in models as tiny as these
NAMES = ["negative", "positive"]
STAGES = {  # what `dvc repro` would run; in their order
    "fetch": ["dataset", "data/raw", "data/own"],
    "sample": ["data/raw", "data/dev_labels.csv", "data/test_labels.csv", "data", "metrics/sample.json"],
    "score": ["teacher", "data/pool.parquet", "models/own/teacher", "data/scores/teacher/pool.parquet"],
    "score dev": ["teacher", "data/dev.parquet", "models/own/teacher", "data/scores/teacher/dev.parquet"],
    "score test": ["teacher", "data/test.parquet", "models/own/teacher", "data/scores/teacher/test.parquet"],
    "label": [
        "data/pool.parquet", "data/scores",
        "data/labeled.parquet", "data/teacher_dev.parquet", "data/teacher_test.parquet", "metrics/label.json",
    ],
    "select": [
        "data/pool.parquet", "data/labeled.parquet", "data/dev.parquet", "data/test.parquet",
        "data/corrections.csv", "data/teacher_train.parquet", "data/review.csv", "data/review_dev.csv", "data/review_test.csv",
    ],
    "train": [
        "data/teacher_train.parquet", "models/own/base", "data/dev.parquet", "data/test.parquet", "models/student",
        "data/student_dev.parquet", "data/student_test.parquet", "plots/training.csv", "plots/live",
    ],
    "baseline": [
        "data/teacher_train.parquet", "data/dev.parquet", "data/test.parquet",
        "data/baseline_dev.parquet", "data/baseline_test.parquet",
    ],
    "classify": ["models/student", "data/own/texts.csv", "--out", "answers.jsonl", "--threads", THREADS],
    "evaluate": [
        "many/pool.parquet", "many/dev.parquet", "many/test.parquet", "many/gold.parquet", "data/test_labels.csv",
        *(f"many/{who}.parquet" for who in ("teacher", "teacher", "student", "onnx", "baseline")),
        "metrics/test.json", "many/mistakes.parquet", "plots",
    ],
}  # fmt: skip


def write_texts(path, count):
    """A csv with so many texts of about 200 bytes; words follow Zipf's law."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(random.choice(letters, size)) for size in random.integers(2, 10, 30_000)])
    shares = 1 / np.arange(1, len(words) + 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        for start in range(0, count, 10_000):
            block = random.choice(words, (min(10_000, count - start), 31), p=shares / shares.sum())
            writer.writerows([" ".join(row)] for row in block)


def prepare(root, count):
    """The folder that the stages run in."""
    import yaml

    from tests import tiny

    shutil.rmtree(root, ignore_errors=True)
    texts = count + 2 * TEST
    write_texts(root / "data/own/texts.csv", texts)
    share = 1.5 * TEST / texts  # both zones then hold more than is taken
    tiny.encoder(root / "models/own/teacher")
    tiny.base_model(root / "models/own/base")
    for name in ("corrections", "dev_labels", "test_labels"):
        shutil.copyfile(f"data/{name}.csv", root / f"data/{name}.csv")
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    values["fetch"]["dataset"] = {"own": "texts.csv"}
    values["sample"].update(format="csv", columns=None, text="text", gold=None)
    values["sample"].update(dev=0, test=TEST, valid=0, pool=count)
    values["sample"]["zones"] = {"test": share, "dev": 0, "pool": 1 - share}
    values["score"]["teacher"].update(
        kind="similarity", templates=[{"class_text": "It is {class}."}], max_tokens=8
    )
    values["train"].update(epochs=1, max_tokens=8, batch_size=256, precision="float32")
    values["runtime"].update(threads=THREADS)
    (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (root / "metrics").mkdir()


def write_answers(root, count):
    """Test texts, gold and four models' answers, drawn at random, for `evaluate`."""
    random = np.random.default_rng(1)
    ids = pa.array([f"{number:032x}" for number in range(count)])
    texts = {"id": ids, "text": pa.array([f"text {number}" for number in range(count)])}
    write_table(root / "test.parquet", pa.table({**texts, "row": pa.array(range(count))}, schema=TEXTS))
    none = {"id": [], "text": [], "split": [], "row": []}
    write_table(root / "pool.parquet", pa.table(none, schema=POOL))
    write_table(root / "dev.parquet", TEXTS.empty_table())

    def labels():
        column = pa.array(random.choice(NAMES, count), pa.string())
        return pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32), column)

    write_table(root / "gold.parquet", pa.table({"id": ids, "labels": labels()}, schema=GOLD))
    for who in ("teacher", "student", "onnx", "baseline"):
        sure = random.random(count)
        columns = {"id": ids, "probabilities": fixed(np.stack([sure, 1 - sure], 1), np.float32)}
        columns |= {"labels": labels()} | ({"raw_labels": labels()} if who == "teacher" else {})
        table = pa.table(columns, schema=predictions_schema(2, raw=who == "teacher"))
        write_table(root / f"{who}.parquet", table, classes=NAMES, model={"parameters": 1, "megabytes": 1})


def measure(count):
    """Rows of the JSON: stage, texts, seconds (wall clock), mib (largest resident set)."""
    prepare(WORK, count)
    rows = []
    for name, words in STAGES.items():
        if name == "evaluate":
            write_answers(WORK / "many", count)
        module = "nolabels.classify" if name == "classify" else f"stages.{name.split()[0]}"
        memory = []
        seconds = clock(lambda: memory.append(largest(WORK, module, *words)))  # noqa: B023 (called at once)
        say(f"{name}, {count} texts: {seconds:.0f} s, {memory[0]} MiB")
        if " " not in name:
            rows.append({"stage": name, "texts": count, "seconds": round(seconds, 1), "mib": memory[0]})
    shutil.rmtree(WORK)
    return rows


def table(rows):
    """A line for each stage; last what AIM texts would take by the line through its two largest sizes."""
    sizes = sorted({row["texts"] for row in rows})
    head = [f"{size:,}" for size in sizes] + [f"{AIM:,}, extrapolated"]
    lines = ["| stage | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for stage in dict.fromkeys(row["stage"] for row in rows):
        known = {row["texts"]: (row["seconds"], row["mib"]) for row in rows if row["stage"] == stage}
        before, last = (np.array(known[size]) for size in sizes[-2:])
        # the memory of a few stages varies more than it grows
        rise = np.maximum(0, last - before) / (sizes[-1] - sizes[-2])
        aim = last + rise * (AIM - sizes[-1])
        cells = [f"{seconds:.0f} s, {mib} MiB" for seconds, mib in map(known.get, sizes)]
        lines.append(
            f"| {stage} | " + " | ".join([*cells, f"{aim[0] / 60:.0f} min, {aim[1] / 1024:.1f} GiB"]) + " |"
        )
    return "\n".join(lines)


def write(rows):
    """The JSON, and the table of the page."""
    write_json(JSON, rows)
    block = f"<!-- scale -->\n{table(rows)}\n<!-- /scale -->"
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        re.sub(r"<!-- scale -->.*<!-- /scale -->", lambda _: block, text, flags=re.S), encoding="utf-8"
    )


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100_000, 300_000, 1_000_000], help="texts")
    args = parser.parse_args(argv)
    if len(set(args.sizes)) < 2:
        raise UserError(f"--sizes: must be two or more, to draw a line through, found {args.sizes}")
    rows, sizes = [], sorted(set(args.sizes))
    for size in sizes:
        rows += measure(size)
        if size > sizes[0]:
            write(rows)


if __name__ == "__main__":
    run(main)
