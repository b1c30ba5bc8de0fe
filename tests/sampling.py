"""`sample` run on files that a test makes, in a folder of its own."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from nolabels import stage
from nolabels.spelling import join
from stages import sample

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
    "pool": 1,
    "valid": 0,
    "test": 1,
    "dev": 0,
    "near_duplicates": "keep",
    "similarity": 0.8,
}


def write_params(folder, task=None, **changes):
    """params.yaml of the project with small sizes and the given keys of `sample` and of `task`."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["sample"] = SMALL | changes
    values["task"].update(task or {})
    if (task or {}).get("multi_label"):
        values["label"]["calibration"] = "none"
    Path(folder, "params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")


def run(folder, monkeypatch, files, **changes):
    """The stage as a process runs it, on files {name: bytes}; returns the folder of its tables."""
    raw = Path(folder, "data/raw")
    raw.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content)
    write_params(folder, **changes)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["sample", "data/raw", "data", "metrics/sample.json"])
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
