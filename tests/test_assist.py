"""The assistant: cross-fitting, and what the student learns from."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nolabels.core import params, schemas, tables
from nolabels.core.stage import UserError
from nolabels.data.texts import text_id
from nolabels.students import assistant as assist

NAMES = ["negative", "positive"]


def lesson(count):
    """A table as `select` leaves it: every fifth text is valid, every seventh unlearned, the third by a person."""
    texts = [f"text {number}" for number in range(count)]
    sure = np.linspace(0.1, 0.9, count)
    columns = {
        "id": [text_id(text) for text in texts],
        "text": texts,
        "split": ["valid" if number % 5 == 0 else "train" for number in range(count)],
        "probabilities": tables.fixed(np.stack([1 - sure, sure], 1), np.float32),
        "labels": [[NAMES[int(one > 0.5)]] for one in sure],
        "learn": np.arange(count) % 7 > 0,
        "source": ["person" if number == 3 else "teacher" for number in range(count)],
    }
    return pa.table(columns, schema=schemas.train_schema(2))


@pytest.fixture
def memory(monkeypatch):
    """Models that answer 1 where they have learned a text, and a number of their own elsewhere."""
    made = []

    def train_fold(table, base, values, settings):
        learned = table.filter(pa.array(assist.is_learned(table)))["text"].to_pylist()
        made.append(set(learned))
        return len(made), set(learned)

    def predict(model, learned, texts, settings):
        said = [1.0 if text in learned else model / 10 for text in texts]
        return np.stack([np.array(said), 1 - np.array(said)], 1) if texts else np.zeros((0, 2))

    monkeypatch.setattr(assist, "train_fold", train_fold)
    monkeypatch.setattr(assist, "predict_proba", predict)
    return made


@pytest.mark.parametrize("folds", [2, 3])
def test_no_text_is_labeled_by_a_model_that_has_learned_it(memory, folds):
    table, values = lesson(140), params.load()
    unseen = {"more": ["new 1", "new 2"], "dev": [], "test": ["new 3"]}
    found, others = assist.cross_fit(table, unseen, None, values, SimpleNamespace(folds=folds))
    assert found[:, 0].max() < 1  # else a model has judged what it learned
    learned = assist.is_learned(table)
    assert set().union(*memory) == set(table.filter(pa.array(learned))["text"].to_pylist())
    assert all(len(one) < learned.sum() for one in memory)
    # texts that no model learns are judged by all of them
    mean = np.arange(1, folds + 1).mean() / 10
    assert np.allclose(found[~learned, 0], mean)
    assert np.allclose(others["more"][:, 0], mean) and others["more"].shape == (2, 2)
    assert others["dev"].shape == (0, 2) and others["test"].shape == (1, 2)


def test_a_larger_pool_moves_no_text_to_another_fold():
    ids = [text_id(f"text {number}") for number in range(300)]
    few, many = assist.folds_of(ids[:100], 3), assist.folds_of(ids, 3)
    assert (few == many[:100]).all() and set(many) == {0, 1, 2}


def test_what_the_student_learns_from():
    table, task = lesson(20), params.load().task
    more = pa.table({"id": [text_id("new")], "text": ["new"]})
    found = np.tile([0.3, 0.7], (20, 1))
    given = assist.assistant_table(table, more, found, np.array([[0.8, 0.2]]), task)
    assert given["id"].to_pylist() == table["id"].to_pylist() + [text_id("new")]
    assert given["source"].to_pylist() == ["assistant"] * 3 + ["person"] + ["assistant"] * 17
    assert given["split"].to_pylist() == table["split"].to_pylist() + ["train"]
    assert given["labels"][3] == table["labels"][3] and given["probabilities"][3] == table["probabilities"][3]
    assert given["labels"].to_pylist()[4:6] == [["positive"]] * 2 and given["labels"][20].as_py() == [
        "negative"
    ]
    assert set(given["learn"].to_pylist()) == {True}


LARGE = {
    "base": "base",
    "folds": 2,
    "targets": "soft",
    "seed": 1,
    "epochs": 1,
    "learning_rate": 1e-4,
    "batch_size": 16,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "max_tokens": 32,
    "precision": "float32",
}


@pytest.mark.slow
def test_an_assistant_in_the_pipeline(project, index):
    with project.params() as values:
        values["fetch"]["models"]["assistant"] = index["tiny_base_two"]
        values["sample"]["more"] = 40
        values["assist"] = {"large": LARGE | {"base": "assistant"}}
        values["train"]["labels"] = "assistant"
    project.make_place("assistant")
    ran = project.repro()
    assert {"fetch@assistant", "assist@large", "train", "evaluate@dev", "evaluate@test"} <= set(ran)
    assert not {"score@teacher-pool", "score@teacher-test", "fetch@teacher", "fetch@base"} & set(
        ran
    )  # the teacher is not asked again
    learned = tables.read_table(project.root / "data/assistant_train.parquet")
    further = tables.read_table(project.root / "data/more.parquet")["id"].to_pylist()
    assert len(further) == 40 and learned["id"].to_pylist()[-40:] == further
    assert set(learned["source"].to_pylist()) == {"assistant"}
    pool = tables.read_table(project.root / "data/pool.parquet")["id"].to_pylist()
    assert learned["id"].to_pylist()[:-40] == pool
    for part in ("dev", "test"):
        found = json.loads(project.read(f"metrics/{part}.json"))
        assert {"teacher", "assistant", "student", "onnx"} <= set(found) and "assistant" in found["size"]
    page = project.read("reports/index.html").decode()
    assert "An <em>assistant</em> (tiny_base_two==1.0)" in page
    assert project.repro() == []
    # without it the student learns from the teacher again, and what ran before is restored
    with project.params() as values:
        values["assist"], values["sample"]["more"], values["train"]["labels"] = {}, 0, "teacher"
    assert "assist@large" not in project.dvc("stage", "list")
    project.repro()
    assert "assistant" not in json.loads(project.read("metrics/dev.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train": {"labels": "assistant"}},
            r"train.labels: must be teacher where assist is {}, found assistant",
        ),
        (
            {"assist": {"large": LARGE}},
            r"train.labels: must be assistant where assist names one, found teacher",
        ),
        (
            {"assist": {"large": LARGE | {"base": "large"}}, "train": {"labels": "assistant"}},
            r"assist.large.base: must name a model of fetch.models that can be fine-tuned \(.*\), found large",
        ),
        ({"sample": {"more": 5}}, r"sample.more: must be 0 where assist is {}, .* found 5"),
        ({"assist": {"large": LARGE | {"folds": 1}}}, r"assist.large.folds: .* 2, found 1"),
    ],
)
def test_parameters_of_an_assistant(change, message):
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for section, keys in change.items():
        values[section] |= keys
    with pytest.raises(UserError, match=message):
        params.check(values, Path("params.yaml"))
