"""`sample` run on files that a test makes, in a folder of its own."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from nolabels.core import stage
from nolabels.core.spelling import join
from nolabels.data.texts import text_id
from stages import sample
from tests import tiny

ROOT = Path(__file__).parent.parent
NAMES = {"column": "label", "names": True}
SMALL = {
    "format": "csv",
    "columns": None,
    "text": "text",
    "gold": None,
    "test_file": None,
    "method": "draw",
    "seed": 1,
    "pool": None,
    "valid": 0,
    "more": 0,
    "clusters": 0,
    "test": None,
    "dev": 0,
    "near_duplicates": "keep",
    "similarity": 0.8,
}


def zones(keys):
    """Zones for the keys of `sample`: large ones, since the files of the tests are small."""
    if keys["method"] == "notebook":
        return None
    test, dev = (0.0 if keys["test_file"] else 0.3), (0.0 if keys["dev"] == 0 else 0.2)
    return {"test": test, "dev": dev, "pool": round(1 - test - dev, 1)}


def write_params(folder, task=None, **changes):
    """params.yaml of the project with the given keys of `sample` and of `task`, and whole zones in place of sizes."""
    values = tiny.one_teacher(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))
    sample = SMALL | changes
    values["sample"] = {"zones": zones(sample)} | sample
    values["task"].update(task or {})
    if (task or {}).get("multi_label"):
        values["label"]["calibration"] = "none"
    Path(folder, "params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")


def run(folder, monkeypatch, files, answered=None, **changes):
    """The stage as a process runs it, on files {name: bytes}; returns the folder of its tables.

    answered: {"dev", "test"}: the texts that people answered, in the file of each.
    """
    raw = Path(folder, "data/raw")
    raw.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content)
    for name in ("dev", "test"):
        rows = "".join(f"{text_id(text)},negative\n" for text in (answered or {}).get(name, []))
        Path(folder, f"data/{name}_labels.csv").write_text(f"id,label\n{rows}", encoding="utf-8")
    write_params(folder, **changes)
    monkeypatch.chdir(folder)
    paths = ["data/raw", "data/dev_labels.csv", "data/test_labels.csv", "data", "metrics/sample.json"]
    monkeypatch.setattr(sys, "argv", ["sample", *paths])
    stage.run(sample.main)
    return Path(folder, "data")


def texts(data, name="pool"):
    """{text: row} of a table."""
    table = pq.read_table(data / f"{name}.parquet")
    return dict(zip(table["text"].to_pylist(), table["row"].to_pylist(), strict=True))


def answers(data):
    """{text: class, or ;-joined classes} of the test texts."""
    gold = pq.read_table(data / "gold.parquet")
    labels = dict(zip(gold["id"].to_pylist(), map(join, gold["labels"].to_pylist()), strict=True))
    test = pq.read_table(data / "test.parquet")
    rows = zip(test["id"].to_pylist(), test["text"].to_pylist(), strict=True)
    return {text: labels[identifier] for identifier, text in rows if identifier in labels}
