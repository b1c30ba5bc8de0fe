"""The notebook's systems: the same 1,000 sentences, and the preset from end to end against a hub on loopback."""

import json
import random

import pyarrow.parquet as pq
import pytest
import yaml

from nolabels.data.texts import text_id
from nolabels.setup import presets
from tests import hub, sampling, workspace

ROWS = hub.sst2_rows()
PRESET = yaml.safe_load(presets.text_of("notebook-sst2"))


def notebook_sentences():
    """What the notebook's two lines pick."""
    train_sentences = [text for text, _, _ in ROWS["train"]]
    random.seed(42)
    return random.sample(train_sentences, 1000)


def check_tables(data):
    pool, test = (pq.read_table(data / f"{name}.parquet") for name in ("pool", "test"))
    assert pool["text"].to_pylist() == notebook_sentences()
    assert set(pool["split"].to_pylist()) == {"train"}
    sentences = [text for text, _, _ in ROWS["train"]]
    assert all(
        sentences[row - 1] == text
        for row, text in zip(pool["row"].to_pylist(), notebook_sentences(), strict=True)
    )
    assert sorted(test["text"].to_pylist()) == sorted(text for text, _, _ in ROWS["validation"])
    gold = {text_id(text): ["negative", "positive"][label] for text, label, _ in ROWS["validation"]}
    table = pq.read_table(data / "gold.parquet")
    assert len(table) == 872
    pairs = zip(table["id"].to_pylist(), table["labels"].to_pylist(), strict=True)
    assert all(gold[identifier] == label for identifier, (label,) in pairs)


def test_the_recipe_is_the_notebook_s():
    """Also what the preset leaves to the default: another default must not change this run."""
    sample, label, train = PRESET["sample"], PRESET["label"], PRESET["train"]
    assert (sample["pool"], sample["seed"], sample["near_duplicates"]) == (1000, 42, "keep")
    assert (label["calibration"], label["temperature"], PRESET["select"]["keep_fraction"]) == (
        "none",
        1.0,
        1.0,
    )
    assert train == {
        "labels": "teacher",
        "base": "base",
        "targets": "hard",
        "seed": 42,
        "epochs": 5,
        "learning_rate": 5e-5,
        "batch_size": 8,
        "warmup": 0.0,
        "weight_decay": 0.0,
        "max_tokens": 128,
        "precision": "float32",
    }


def test_the_rows_are_the_notebook_s(tmp_path, monkeypatch, capsys):
    files = {
        "pool-00000.parquet": hub.parquet(
            sentence=[row[0] for row in ROWS["train"]], label=[row[1] for row in ROWS["train"]]
        ),
        "test-00000.parquet": hub.parquet(
            sentence=[row[0] for row in ROWS["validation"]], label=[row[1] for row in ROWS["validation"]]
        ),
    }
    data = sampling.run(tmp_path, monkeypatch, files, **PRESET["sample"])
    check_tables(data)
    picked = [text_id(text) for text in notebook_sentences()]
    tested = {text_id(text) for text, _, _ in ROWS["validation"]}
    overlap, twice = sum(one in tested for one in picked), len(picked) - len(set(picked))
    assert overlap and twice, "made so that there is something to count"
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        "sample: 1000 pool texts and 0 for validation, 872 test, 0 dev, of 67349 rows as the notebook drew them; "
        f"of the pool {overlap} are in the test file too and {twice} stand twice, all kept"
    )
    near = json.loads((tmp_path / "metrics/sample.json").read_text(encoding="utf-8"))["near_duplicates"]
    assert (
        near >= overlap and second == f"sample: {near} pool texts are near-duplicates of a test or dev text"
    )


@pytest.mark.slow
@pytest.mark.thorough
def test_the_preset_from_end_to_end_and_then_without_the_network(tmp_path, index, monkeypatch):
    project = workspace.Workspace.make(tmp_path / "project", index)
    (project.root / "params.yaml").write_text(presets.text_of("notebook-sst2"), encoding="utf-8")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    with hub.serve() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        teacher = hub.contents(hub.nli_model(tmp_path / "nli"))
        base = hub.contents(hub.electra_model(tmp_path / "electra"))
        commits = {
            "models/teacher": server.add(
                "model", PRESET["fetch"]["models"]["teacher"]["hub"], hub.pickled(teacher)
            ),
            "models/base": server.add("model", PRESET["fetch"]["models"]["base"]["hub"], hub.pickled(base)),
            "data/raw": server.add("dataset", PRESET["fetch"]["dataset"]["hub"], hub.glue(ROWS)),
        }
        project.dvc("repro", "fetch@teacher", "fetch@base", "fetch_dataset")
    for folder, commit in commits.items():
        assert yaml.safe_load(project.read(f"{folder}/hub.yaml"))["commit"] == commit
    printed = project.dvc("repro", online=False)  # the hub is gone
    assert "sample: 1000 pool texts and 0 for validation, 872 test" in printed
    check_tables(project.root / "data")
    assert "train: 1000 texts x 5 epochs, 625 steps in " in printed
    assert json.loads(project.read("metrics/speed.json"))["train"]["steps"] == 625
    metrics = json.loads(project.read("metrics/test.json"))
    assert metrics["n"] == 872 and {"teacher", "student", "difference"} <= metrics.keys()
    assert project.repro(online=False) == []
    for path, content in hub.contents(project.root).items():
        assert hub.TOKEN.encode() not in content or path.startswith("tests/"), path
