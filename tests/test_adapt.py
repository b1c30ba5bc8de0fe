"""Rounds of the teacher: what it learns from, that it learns, and that DVC runs what it must."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from nolabels import models, params, tables, teachers
from nolabels.fitting import fit, read_temperature
from nolabels.stage import UserError
from nolabels.texts import text_id
from stages import adapt
from tests import tiny
from tests.workspace import stages_of

QUESTION = "Is the review positive or negative?\n\nReview: {text}"
TEMPLATES = {
    "likelihood": [
        {"chat": QUESTION, "answer": "The sentiment is {class}"},
        {"plain": "Review: {text} Sentiment: {class}"},
    ],
    "entailment": [{"hypothesis": "This example is {class}."}, {"hypothesis": "It is about {class}"}],
}
# a word says which class, and how far the rating is from 0 how sure the teacher is
RATINGS = np.array([(-1.0) ** number * (1 + number % 5) for number in range(120)])
REVIEWS = [f"A {'warm' if rating > 0 else 'dull'} film {number}" for number, rating in enumerate(RATINGS)]
WORDS = {"one token": ["negative", "positive"], "several": ["flat", "quite positive indeed", "quite dull"]}
MODELS = ["llama", "gemma2", "mamba", "roberta", "deberta-v2"]


def kind_of(family):
    return "entailment" if family in tiny.NLI else "likelihood"


def make_model(folder, family):
    make = tiny.nli_model if family in tiny.NLI else tiny.causal_family
    folder.mkdir()
    return make(folder, family)


def load(folder, precision="float32"):
    """The teacher of a folder, of the kind that params.yaml names."""
    place = {"device": "cpu", "precision": precision, "served": None, "descriptions": {}}
    return teachers.load(params.load().score, folder, **place)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with params.yaml, the pool (120 texts, 24 of them valid) and scores that know the ratings."""
    monkeypatch.chdir(tmp_path)
    ids = [text_id(text) for text in REVIEWS]
    rows = {
        "id": ids,
        "text": REVIEWS,
        "split": ["valid"] * 24 + ["train"] * 96,
        "row": list(range(120)),
    }
    tables.write_table("pool.parquet", pa.table(rows, schema=tables.POOL))
    scores = np.stack([np.stack([-RATINGS, RATINGS + 2 * t], 1) for t in (0, 1)], 1)
    rows = {
        "id": np.repeat(ids, 2),
        "template": np.tile(np.arange(2, dtype=np.int16), 120),
        "score": tables.fixed(scores.reshape(-1, 2), np.float32),
        "against": pa.nulls(240, pa.list_(pa.float32(), 2)),
        "tokens": np.ones(240, np.int32),
        "cut": np.zeros(240, bool),
    }
    tables.write_table("scores.parquet", pa.table(rows, schema=tables.scores_schema(2)))
    write_params("likelihood")
    return tmp_path


def write_params(kind, **adapted):
    root = Path(__file__).parent.parent
    data = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    data["score"].update(kind=kind, templates=TEMPLATES[kind], precision="float32")
    data["rounds"] = {"1": {"before": 0}}
    data["adapt"].update(
        {"steps": 40, "batch_size": 8, "learning_rate": 3e-3, "precision": "float32"} | adapted
    )
    data["runtime"].update(device="cpu", threads=1)
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")


def run(teacher, out="1"):
    adapt.main(["pool.parquet", "scores.parquet", str(teacher), f"rounds/{out}", f"round_{out}.json"])
    return json.loads(Path(f"round_{out}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("family", MODELS)
def test_what_learns_is_what_scores(place, family, words):
    """But for a constant of each class (what an empty text scores), which calibration takes out."""
    write_params(kind_of(family))
    teacher = load(make_model(place / "model", family))
    texts = teacher.excerpts(REVIEWS[:5] + ["dull " * 300])
    for template in params.load().score.templates:
        scores = teacher.ask(texts, [template], words).scores[:, 0]
        logits = teacher.logits(texts, template, words)
        assert logits.requires_grad
        constant = logits.detach().numpy() - scores
        assert constant.shape == (6, len(words))
        np.testing.assert_allclose(constant, np.broadcast_to(constant[0], constant.shape), atol=2e-4)


@pytest.mark.parametrize("targets", ["hard", "soft"])
@pytest.mark.parametrize("family", ["llama", "modernbert"])
def test_the_teacher_learns_its_labels_and_can_be_asked(place, family, targets):
    write_params(kind_of(family), targets=targets)
    model, values = make_model(place / "model", family), params.load()
    asked = REVIEWS[:24], values.score.templates, values.task.words
    right = np.stack([RATINGS[:24] < 0, RATINGS[:24] > 0], 1).astype(np.float32)
    untaught = adapt.figures(load(model).ask(*asked).scores, right)
    found = run(model)
    assert found["texts"] == 48 and sum(found["shares"].values()) == pytest.approx(1)
    assert found["loss"]["after"] < 0.5 * untaught["loss"]
    assert found["agreement"]["after"] > 0.9 > untaught["agreement"]
    assert found["confidence"]["after"] > untaught["confidence"]
    assert found["agreement"]["before"] == 1  # the scores know the ratings
    # it is sure of all, and knows by how much too sure
    assert models.own_temperature(Path("rounds/1")) == found["temperature"] > 0
    assert models.own_temperature(model) is None
    # the folder is a teacher's, and its figures are those of its answers
    again = adapt.figures(load(Path("rounds/1")).ask(*asked).scores, right)
    assert again["agreement"] == found["agreement"]["after"]


def test_the_output_layer_learns_too(place):
    """Where it is no copy of the embedding."""
    from transformers import AutoModelForCausalLM

    model = make_model(place / "model", "llama")
    run(model)
    before, after = (
        AutoModelForCausalLM.from_pretrained(folder).lm_head.weight for folder in (model, "rounds/1")
    )
    assert (before - after).abs().max() > 1e-3


def test_two_rounds_of_the_same_are_equal_bytes(place):
    model = make_model(place / "model", "roberta")  # with dropout
    write_params("entailment", steps=4)
    assert run(model, "1") == run(model, "2")
    files = sorted(path.name for path in Path("rounds/1").iterdir())
    assert "model.safetensors" in files and sorted(path.name for path in Path("rounds/2").iterdir()) == files
    for name in files:
        assert Path("rounds/1", name).read_bytes() == Path("rounds/2", name).read_bytes(), name
    write_params("entailment", steps=4, seed=7)
    run(model, "3")
    assert Path("rounds/3/model.safetensors").read_bytes() != Path("rounds/1/model.safetensors").read_bytes()


def test_weights_are_kept_as_score_reads_them(place):
    model = make_model(place / "model", "llama")
    write_params("likelihood", steps=1, precision="bfloat16")
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    data["score"]["precision"] = "bfloat16"
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    run(model)
    size = Path("rounds/1/model.safetensors").stat().st_size
    assert size < 0.6 * (model / "model.safetensors").stat().st_size
    teacher = load(Path("rounds/1"), "bfloat16")
    assert teacher.model.dtype == torch.bfloat16 and teacher.tokenizer.chat_template


def test_labels_are_those_of_label_and_the_surest_of_each_class_are_learned(place):
    values = params.load()
    scores = np.stack([-RATINGS, RATINGS + 3], 1)[:, None]
    train = np.arange(120) >= 24
    _, wanted, soft, keep, known = adapt.labels(scores, train, values)
    assert known.all() and set(wanted.ravel()) == {0, 1}
    assert (soft.argmax(1) == wanted.argmax(1)).all() and 0 < soft.min() < soft.max() < 1
    assert not keep[~train].any()
    for number in (0, 1):
        members = np.flatnonzero(train & (wanted[:, number] == 1))
        kept = members[keep[members]]
        assert len(kept) == round(len(members) * 0.5)
        assert np.abs(RATINGS[kept]).min() >= np.abs(RATINGS[np.setdiff1d(members, kept)]).max()


def test_texts_of_none_of_the_classes_are_not_learned(place):
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    data["task"]["reject"] = "other"
    data["adapt"]["coverage"] = 1.0
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    draw = np.random.default_rng(0)
    scores = draw.normal(0, 0.3, (300, 1, 2))
    side = draw.integers(0, 2, 200)
    scores[np.arange(200), 0, side] += 8  # the last 100 are far from either class
    _, wanted, _, keep, known = adapt.labels(scores, np.ones(300, bool), params.load())
    assert known[:200].mean() > 0.95 and known[200:].mean() < 0.05
    assert (keep == known).all() and (wanted[:200].argmax(1) == side).mean() > 0.95


def test_each_text_comes_once_before_any_comes_again(place):
    settings = params.load().adapt.model_copy(update={"steps": 10, "batch_size": 3})
    drawn = list(adapt.draws(7, 4, settings))
    assert [len(rows) for rows, _ in drawn] == [3] * 10
    order = np.concatenate([rows for rows, _ in drawn])
    for start in range(0, 28, 7):
        assert sorted(order[start : start + 7]) == list(range(7))
    assert {number for _, number in drawn} == {0, 1, 2, 3}


def test_without_a_valid_split_there_are_no_figures_of_it(place):
    table = tables.read_table("pool.parquet").to_pylist()
    rows = [row | {"split": "train"} for row in table]
    tables.write_table("pool.parquet", pa.Table.from_pylist(rows, schema=tables.POOL))
    write_params("likelihood", steps=1)
    assert set(run(make_model(place / "model", "llama"))) == {"texts", "shares"}


def test_a_model_of_another_kind_is_refused(place, base_folder):
    with pytest.raises(UserError) as error:
        run(base_folder)
    assert str(error.value) == (
        f"params.yaml: score.kind: likelihood needs a causal language model, found BertModel in {base_folder}"
    )
    assert not Path("rounds").exists()


def test_a_round_s_own_temperature_holds_where_it_is_asked_of_the_pool(place):
    scores = np.random.default_rng(0).normal(size=(300, 2, 2)) + [0.0, 1.0]
    values = params.load()
    assert fit(scores, values, 3.0).temperature.tolist() == [3.0, 3.0]
    assert fit(scores, values).temperature[0] != 3.0
    given = values.model_copy(update={"label": values.label.model_copy(update={"temperature": 2.0})})
    assert fit(scores, given, 3.0).temperature.tolist() == [2.0, 2.0]


@pytest.mark.slow
@pytest.mark.thorough
def test_a_round_runs_and_going_back_asks_nobody(project):
    before = project.read("data/labeled.parquet")
    asked = ["-S", "+rounds.1.before=0", "-S", "adapt.steps=3", "-S", "adapt.learning_rate=0.01"]
    printed = project.dvc("exp", "run", "label", *asked, "-S", "label.round=1")
    assert stages_of(printed) == ["adapt@1", "rescore@1", "label"]
    learned = project.read("data/labeled.parquet")
    assert learned != before
    temperature = json.loads(project.read("metrics/round_1.json"))["temperature"]
    assert read_temperature(project.root / "data/scores/1/pool.parquet") == temperature
    assert json.loads(project.read("metrics/label.json"))["temperature"] == temperature
    changed = {line[3:] for line in project.git("status", "--porcelain").splitlines()}
    assert changed <= {"dvc.lock", "params.yaml", "metrics/speed.json"}
    with project.params() as values:
        values["label"]["round"] = 0
    assert not {"adapt@1", "rescore@1", "score@pool", "score@test"} & set(project.repro("label"))
    assert project.read("data/labeled.parquet") == before
    # a second round learns from what the first one answers; other threads run nothing
    with project.params() as values:
        values["rounds"]["2"] = {"before": 1}
        values["label"]["round"] = 2
        values["runtime"]["threads"] = 1
    assert project.repro("label") == ["adapt@2", "rescore@2", "label"]
    assert project.read("data/labeled.parquet") not in (before, learned)
    assert project.repro("label") == []
