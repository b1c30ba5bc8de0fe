"""The stages that decide, run in a folder of their own on tables made by hand."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from nolabels.core import params, schemas, tables
from nolabels.core.labels import most_confident, one_hot
from nolabels.core.spelling import join
from nolabels.core.stage import UserError
from nolabels.data.texts import text_id
from nolabels.labeling import tfidf
from nolabels.students import dataset
from nolabels.teachers.score_table import embedding_column
from stages import evaluate, forecast, label, select
from tests import tiny

NAMES = ["negative", "positive"]
PARAMS = tiny.one_teacher(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
TEXTS = [f"sentence number {number} is {'good' if number % 2 else 'bad'}" for number in range(28)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with params.yaml, pool (20 texts, 4 of them valid), test and dev (4 each)."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    ids = [text_id(text) for text in TEXTS]
    pool = {
        "id": ids[:20],
        "text": TEXTS[:20],
        "split": ["valid"] * 4 + ["train"] * 16,
        "row": list(range(20)),
    }
    tables.write_table("pool.parquet", pa.table(pool, schema=schemas.POOL))
    for name, first in (("test", 20), ("dev", 24)):
        texts = {
            "id": ids[first : first + 4],
            "text": TEXTS[first : first + 4],
            "row": list(range(first, first + 4)),
        }
        tables.write_table(f"{name}.parquet", pa.table(texts, schema=schemas.TEXTS))
    for name in ("corrections", "dev_labels", "test_labels"):
        Path(f"{name}.csv").write_text("id,text,label\n", encoding="utf-8")
    return tmp_path


def change(**sections):
    """sections: keys to change; of `score` those of the one teacher."""
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for name, values in sections.items():
        (data["score"]["teacher"] if name == "score" else data[name]).update(values)
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")


def write_scores(path, ids, scores, against=None, kind="likelihood", embeddings=None):
    """scores: N x T x K; against: the same or None; embeddings: N x D or None."""
    count, templates, classes = scores.shape
    rows = {
        "id": np.repeat(np.array(ids, object), templates),
        "template": np.tile(np.arange(templates, dtype=np.int16), count),
        "score": tables.fixed(scores.reshape(-1, classes), np.float32),
        "against": pa.nulls(count * templates, pa.list_(pa.float32(), classes))
        if against is None
        else tables.fixed(against.reshape(-1, classes), np.float32),
        "tokens": np.ones(count * templates, np.int32),
        "cut": np.zeros(count * templates, bool),
    }
    schema = schemas.scores_schema(classes, None if embeddings is None else embeddings.shape[1])
    if embeddings is not None:
        rows["embedding"] = embedding_column(embeddings.astype(np.float16), templates)
    model = {"kind": kind, "parameters": 1_500_000, "megabytes": 2.5, "precision": "float32"}
    table = pa.table(rows, schema=schema)
    tables.write_table(
        path, table, templates=[f"template {number}" for number in range(templates)], model=model
    )


def say_all(name, scores, against=None, dev=4, kind="likelihood", embeddings=None):
    """Writes a teacher's tables of scores (28 x T x K) of all texts; dev: how many of its texts there are."""
    ids = [text_id(text) for text in TEXTS]
    for part, rows in (
        ("pool", slice(0, 20)),
        ("clusters", slice(0)),
        ("test", slice(20, 24)),
        ("dev", slice(24, 24 + dev)),
    ):
        given = [None if array is None else array[rows] for array in (against, embeddings)]
        write_scores(f"scores/{name}/{part}.parquet", ids[rows], scores[rows], given[0], kind, given[1])


def label_all(scores, against=None, dev=4):
    """Runs `label` on what one teacher said (see say_all)."""
    say_all("teacher", scores, against, dev)
    run_label_stage()


def run_label_stage():
    outs = ["labeled.parquet", "teacher_dev.parquet", "teacher_test.parquet", "label.json"]
    label.main(["pool.parquet", "scores", *outs])
    return json.loads(Path("label.json").read_text(encoding="utf-8"))


def partial():
    """Scores of a teacher that reads "good" but says negative nearly always, with two templates."""
    good = np.array(["good" in text for text in TEXTS], float)
    return np.stack([np.stack([4 - good, good * (1 + t)], 1) for t in (0, 1)], 1)


def run_label():
    label_all(partial())


def run_select():
    inputs = ["pool.parquet", "labeled.parquet", "dev.parquet", "test.parquet", "corrections.csv"]
    select.main([*inputs, "train.parquet", "review.csv", "review_dev.csv", "review_test.csv"])
    return tables.read_table("train.parquet").to_pylist()


def right_answers():
    """Asserts that pool, test and dev are labeled by whether "good" stands in them; the rows of test and of dev."""
    labeled = tables.read_table("labeled.parquet").to_pylist()
    assert [row["labels"] for row in labeled] == [[NAMES["good" in text]] for text in TEXTS[:20]]
    found = []
    for name, texts in (("test", TEXTS[20:24]), ("dev", TEXTS[24:])):
        answers = tables.read_table(f"teacher_{name}.parquet").to_pylist()
        assert [row["id"] for row in answers] == [text_id(text) for text in texts]
        assert [row["labels"][0] for row in answers] == [NAMES["good" in text] for text in texts]
        found.append(answers)
    return found


def test_label_takes_out_what_the_teacher_prefers(folder):
    run_label()
    for answers in right_answers():
        assert {row["raw_labels"][0] for row in answers} == {"negative"}
    found = json.loads(Path("label.json").read_text(encoding="utf-8"))
    assert found["shares"] == {
        "before": {"negative": 1.0, "positive": 0.0},
        "after": {"negative": 0.5, "positive": 0.5},
    }
    (teacher,) = found["teachers"].values()
    assert (teacher["weight"], teacher["precision"], teacher["refined"]) == (1, "float32", False)
    assert teacher["template_weight"] == {"1": 0.5, "2": 0.5}
    assert found["cut"] == {"pool": 0, "dev": 0, "test": 0}
    assert tables.about("teacher_test.parquet")["model"]["parameters"] == 1_500_000


def second_teacher():
    """A second teacher in params.yaml, a sentence encoder."""
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    data["fetch"]["models"]["encoder"] = {"own": "encoder"}
    data["score"]["encoder"] = data["score"]["teacher"] | {
        "kind": "similarity",
        "templates": [{"class_text": "{class}"}],
    }
    Path("params.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def encoded(seed=0, size=6):
    """Scores (28 x 1 x 2) and embeddings (28 x size) of an encoder that tells the two kinds of text apart."""
    good = np.array(["good" in text for text in TEXTS], float)
    embeddings = np.random.default_rng(seed).normal(scale=0.1, size=(28, size))
    embeddings[:, 0] += 2 * good - 1
    return embeddings[:, :1, None] * [-1.0, 1.0], embeddings


def test_several_teachers_answer_as_one(folder):
    """Each by itself prefers an answer; both read "good"."""
    second_teacher()
    scores, embeddings = encoded()
    say_all("teacher", partial())
    say_all("encoder", scores + [3.0, 0.0], kind="similarity", embeddings=embeddings)
    found = run_label_stage()
    right_answers()
    model = tables.about("teacher_test.parquet")["model"]
    assert model == {"kind": "likelihood + similarity", "parameters": 3_000_000, "megabytes": 5.0}
    assert list(found["teachers"]) == ["teacher", "encoder"]
    assert sum(one["weight"] for one in found["teachers"].values()) == pytest.approx(1)
    assert [list(one["template_weight"]) for one in found["teachers"].values()] == [["1", "2"], ["1"]]
    assert found["teachers"]["teacher"]["refined"] is False


def test_what_a_teacher_says_that_is_not_asked_now_is_not_read(folder):
    run_label()
    outs = ("labeled.parquet", "teacher_dev.parquet", "teacher_test.parquet", "label.json")
    alone = {name: Path(name).read_bytes() for name in outs}
    scores, embeddings = encoded()
    say_all("encoder", -scores, kind="similarity", embeddings=embeddings)
    run_label_stage()
    assert {name: Path(name).read_bytes() for name in outs} == alone


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda ids, scores: (ids[::-1], scores),
            "must hold scores of the texts of the other teachers, for 2 classes",
        ),
        (lambda ids, scores: (ids[:-1], scores[:-1]), "must hold scores of the texts of the other teachers"),
        (
            lambda ids, scores: (ids, scores[..., [0, 1, 1]]),
            "must hold scores of the texts of the other teachers, for 2",
        ),
    ],
    ids=["another order", "a text less", "a class more"],
)
@pytest.mark.parametrize("part", ["pool", "dev", "test"])
def test_scores_of_other_texts_or_classes_are_one_line(folder, part, harm, message):
    second_teacher()
    scores, _ = encoded()
    for name in ("teacher", "encoder"):
        say_all(name, scores)
    rows = {"pool": slice(0, 20), "test": slice(20, 24), "dev": slice(24, 28)}[part]
    path = f"scores/encoder/{part}.parquet"
    write_scores(path, *harm([text_id(text) for text in TEXTS[rows]], scores[rows]))
    with pytest.raises(UserError) as error:
        run_label_stage()
    assert str(error.value).startswith(f"{path}: {message}") and str(error.value).endswith("; run dvc repro")


def test_scores_that_are_not_of_the_pool_are_one_line(folder):
    run_label()
    tables.write_table("pool.parquet", tables.read_table("pool.parquet").slice(1))
    with pytest.raises(UserError, match=r"^scores: must hold scores of pool.parquet; run dvc repro$"):
        run_label_stage()


@pytest.mark.parametrize("teachers", [1, 2])
def test_forecast_compares_the_templates_of_all_teachers(folder, teachers):
    run_label()
    alone = run_forecast()["template_agreement"]
    assert alone > 0.9  # both templates read "good"
    if teachers == 2:  # the second says the opposite
        second_teacher()
        scores, embeddings = encoded()
        say_all("encoder", -scores, kind="similarity", embeddings=embeddings)
        found = run_forecast()
        assert found["template_agreement"] == pytest.approx((alone - 2) / 3, abs=0.1)
        assert not found["trusted"] and "the templates contradict each other" in found["warnings"]


def test_where_the_pool_cannot_tell_the_shares_label_and_forecast_say_so(folder, capsys):
    said = "the shares of the classes are taken as equal: two sentence encoders are needed to tell them, found 0; "
    label_all(partial())
    metrics = json.loads(Path("label.json").read_text(encoding="utf-8"))
    assert not metrics["prior_found"] and metrics["prior"] == {"negative": 0.5, "positive": 0.5}
    assert capsys.readouterr().out.count(f"label: {said}") == 1
    assert run_forecast()["unsure"].startswith(said)
    assert f"forecast: warning: {said}" in capsys.readouterr().out
    change(label={"prior": {"negative": 0.4, "positive": 0.6}})
    label_all(partial())
    assert "prior_found" not in json.loads(Path("label.json").read_text(encoding="utf-8"))
    assert run_forecast()["unsure"] == "" and "taken as equal" not in capsys.readouterr().out


def run_forecast():
    inputs = ["pool.parquet", "scores", "labeled.parquet", "teacher_test.parquet", "teacher_test.parquet"]
    forecast.main([*inputs, "forecast.json"])
    return json.loads(Path("forecast.json").read_text(encoding="utf-8"))


def test_label_without_calibration_leaves_the_answers(folder):
    change(label={"calibration": "none"})
    run_label()
    answers = tables.read_table("teacher_test.parquet").to_pylist()
    assert [row["labels"] for row in answers] == [row["raw_labels"] for row in answers]


def test_calibration_is_fitted_on_the_train_split_alone(folder):
    run_label()
    before = tables.read_table("teacher_test.parquet")["probabilities"].to_pylist()
    scores = partial()
    scores[:4] += [9.0, 0.0]  # the valid split
    scores[24:] += [9.0, 0.0]  # dev
    label_all(scores)
    assert tables.read_table("teacher_test.parquet")["probabilities"].to_pylist() == before


@pytest.mark.parametrize(
    ("here", "wanted", "said"),
    [
        (
            "bfloat16",
            "auto",
            "label: note: this machine would ask in bfloat16, and takes over scores made in",
        ),
        ("float32", "auto", None),
        ("bfloat16", "float32", None),  # then there is one precision, on any machine
    ],
)
def test_scores_of_another_precision_are_told(folder, monkeypatch, capsys, here, wanted, said):
    change(score={"precision": wanted}, runtime={"device": "cpu"})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": here == "bfloat16"})
    run_label()
    printed = capsys.readouterr().out
    assert ("note" in printed) == bool(said)
    if said:
        parts = "; ".join(f"teacher, {part} (float32)" for part in ("pool", "dev", "test"))
        assert f"{said} another precision: {parts}\n" in printed
    found = json.loads(Path("label.json").read_text(encoding="utf-8"))
    assert found["teachers"]["teacher"]["precision"] == "float32"


def test_select_takes_a_person_s_answer(folder):
    run_label()
    wrong = TEXTS[7]
    with Path("corrections.csv").open("a", encoding="utf-8") as file:
        file.write(f"{text_id(wrong)},,negative\n,{TEXTS[8].upper()},positive\n{text_id(TEXTS[9])},,\n")
    rows = {row["text"]: row for row in run_select()}
    assert rows[wrong]["labels"] == ["negative"] and rows[wrong]["source"] == "person"
    assert rows[wrong]["probabilities"] == [1.0, 0.0] and rows[wrong]["learn"] is True
    assert rows[TEXTS[8]]["labels"] == ["positive"] and rows[TEXTS[8]]["source"] == "person"
    assert rows[TEXTS[9]]["source"] == "teacher"
    assert wrong not in Path("review.csv").read_text(encoding="utf-8")


def test_the_surest_of_each_class_are_kept():
    answers, margin = (
        one_hot([0, 0, 0, 0, 1, 1, 1], 2),
        np.array([0.1, 0.9, 0.5, 0.7, 0.2, 0.1, 0.3]),
    )
    kept = most_confident(answers, margin, np.array([1, 1, 1, 0, 1, 1, 1], bool), 0.34)
    assert kept.tolist() == [False, True, False, False, False, False, True]


def test_review_lists_the_least_certain_and_hides_the_teacher_s_answers_of_dev_and_test(folder):
    run_label()
    change(select={"review": 3})
    run_select()
    with Path("review.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and all(row["label"] == "" for row in rows)
    confidence = [float(row["confidence"]) for row in rows]
    assert confidence == sorted(confidence)
    for name, texts in (("dev", TEXTS[24:]), ("test", TEXTS[20:24])):
        with Path(f"review_{name}.csv").open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            assert reader.fieldnames == ["id", "text", "label"]
            assert [row["text"] for row in reader] == texts[:3]


def predictions(path, answers, model=None):
    ids = [text_id(text) for text in TEXTS[20:24]]
    share = np.where(np.eye(2)[answers] > 0, 0.9, 0.1) - np.arange(4)[:, None] * [[0.01, -0.01]]
    rows = {
        "id": ids,
        "probabilities": tables.fixed(share, np.float32),
        "labels": [[NAMES[answer]] for answer in answers],
    }
    schema = schemas.predictions_schema(2, raw="teacher" in path)
    if "teacher" in path:
        rows["raw_labels"] = [["negative"]] * 4
    tables.write_table(path, pa.table(rows, schema=schema), model=model or {})


def run_evaluate(gold):
    size = {"parameters": 2_000_000, "megabytes": 8.0}
    predictions("teacher.parquet", [0, 1, 0, 1], size)
    predictions("student.parquet", [0, 1, 1, 0], size)
    predictions("onnx.parquet", [0, 1, 1, 1], size | {"megabytes": 2.0})
    predictions("baseline.parquet", [1, 1, 1, 1])
    rows = {
        "id": [text_id(text) for text in TEXTS[20:24]],
        "labels": [[NAMES[answer]] for answer in [0, 1, 0, 1]],
    }
    tables.write_table("gold.parquet", pa.table(rows, schema=schemas.GOLD).slice(0, 4 if gold else 0))
    return evaluate_tables()


def evaluate_tables():
    inputs = ["pool.parquet", "dev.parquet", "test.parquet", "gold.parquet", "test_labels.csv"]
    answers = [f"{who}.parquet" for who in ("teacher", "teacher", "student", "onnx", "baseline")]
    evaluate.main([*inputs, *answers, "test.json", "mistakes.parquet", "plots"])
    return json.loads(Path("test.json").read_text(encoding="utf-8"))


def test_evaluate_compares(folder, capsys):
    found = run_evaluate(gold=True)
    assert list(found) == [
        *("teacher", "teacher_raw", "student", "onnx", "baseline", "difference", "majority"),
        *("n", "texts", "agreement", "unseen", "size"),
    ]
    assert [found[who]["accuracy"] for who in ("teacher", "teacher_raw", "student", "onnx", "baseline")] == [
        1,
        0.5,
        0.5,
        0.75,
        0.5,
    ]
    assert found["difference"] == {"accuracy": -0.5, "p_value": 0.5}
    assert [found[key] for key in ("agreement", "n", "texts", "majority")] == [0.5, 4, 4, 0.5]
    assert found["size"]["student"] == {"parameters": 2_000_000, "megabytes": 8.0}
    assert found["size"]["onnx"] == {"parameters": 2_000_000, "megabytes": 2.0}
    mistakes = tables.read_table("mistakes.parquet").to_pylist()
    assert [row["text"] for row in mistakes] == [TEXTS[23], TEXTS[22]] or [
        row["text"] for row in mistakes
    ] == [
        TEXTS[22],
        TEXTS[23],
    ]
    assert mistakes[0]["confidence"] >= mistakes[1]["confidence"]
    assert Path("plots/confusion_student.csv").read_text(encoding="utf-8").splitlines()[:2] == [
        "actual,predicted",
        "negative,negative",
    ]
    lines = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in Path("plots").iterdir()}
    assert lines["coverage"][0] == "coverage,teacher,student"
    assert lines["coverage"][-1] == "1.0,1.0,0.5" and len(lines["coverage"]) == 21
    assert lines["calibration_student"][0] == "confidence,accuracy,low,high,texts"
    assert [line.split(",")[-1] for line in lines["calibration_student"][1:]] == ["1"] * 4
    assert lines["confidence"][0] == "confidence,teacher,student"
    assert sum(int(line.split(",")[2]) for line in lines["confidence"][1:]) == 4
    assert "student - teacher -0.5000 (exact McNemar p = 0.5) on 4 texts" in capsys.readouterr().out


def test_evaluate_without_gold_says_what_can_be_said(folder, capsys):
    found = run_evaluate(gold=False)
    assert set(found) == {"agreement", "n", "texts", "unseen", "size"}
    assert (found["n"], found["texts"]) == (0, 4)
    # answers 0, 1, 1, 0 with 0.9, 0.91, 0.92 and 0.87: all but the last are sure
    lines = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in Path("plots").iterdir()}
    assert {len(lines[name]) for name in lines if name != "confidence"} == {1}
    assert sum(int(line.split(",")[2]) for line in lines["confidence"][1:]) == 4
    assert found["unseen"]["student"] == {
        "confidence": 0.9,
        "coverage": 0.75,
        "shares": {"negative": 0.5, "positive": 0.5},
    }
    printed = capsys.readouterr().out
    assert "accuracy is unknown without gold answers" in printed
    assert "the student has a mean confidence of 0.900, 0.9 or more on 75.0%" in printed
    assert "they agree on 50.0%" in printed
    assert "answer data/review_test.csv and save it as data/test_labels.csv" in printed


def test_a_person_s_answers_are_gold(folder):
    Path("test_labels.csv").write_text(f"id,label\n{text_id(TEXTS[20])},positive\n", encoding="utf-8")
    assert run_evaluate(gold=False)["n"] == 1
    assert run_evaluate(gold=True)["teacher"]["accuracy"] == 0.75


def evaluate_dev(texts=4):
    """`evaluate` on the first texts of dev, with answers of four models that are always the first class."""
    table = tables.read_table("dev.parquet").slice(0, texts)
    tables.write_table("dev.parquet", table)
    given, labels = np.full((texts, 2), [0.9, 0.1]), pa.array([["negative"]] * texts, pa.list_(pa.string()))
    answers = [f"{who}_dev.parquet" for who in ("teacher", "teacher", "student", "onnx", "baseline")]
    for path in answers:
        raw = {"raw_labels": labels} if "teacher" in path else {}
        tables.write_predictions(path, table["id"], given, labels, NAMES, model={}, **raw)
    tables.write_table("dev_gold.parquet", schemas.GOLD.empty_table())
    inputs = ["pool.parquet", "test.parquet", "dev.parquet", "dev_gold.parquet", "dev_labels.csv"]
    evaluate.main([*inputs, *answers, "dev.json", "mistakes_dev.parquet", "plots/dev"])
    return json.loads(Path("dev.json").read_text(encoding="utf-8"))


def test_dev_without_gold_is_measured_by_what_a_person_answered(folder, capsys):
    found = evaluate_dev()
    assert (found["n"], found["texts"]) == (0, 4) and "student" not in found
    assert "answer data/review_dev.csv and save it as data/dev_labels.csv" in capsys.readouterr().out
    rows = "".join(f"{text_id(text)},{NAMES['good' in text]}\n" for text in TEXTS[24:])
    Path("dev_labels.csv").write_text(f"id,label\n{rows}", encoding="utf-8")
    found = evaluate_dev()
    assert found["n"] == 4 and found["student"]["accuracy"] == 0.5
    assert capsys.readouterr().out.strip().startswith("dev ")


def test_a_dev_without_texts_passes_every_stage_that_decides(folder, capsys):
    run_label()
    before = json.loads(Path("label.json").read_text(encoding="utf-8"))
    tables.write_table("dev.parquet", schemas.TEXTS.empty_table())
    label_all(partial(), dev=0)
    assert json.loads(Path("label.json").read_text(encoding="utf-8")) == before
    assert tables.read_table("teacher_dev.parquet").num_rows == 0
    run_select()
    assert Path("review_dev.csv").read_text(encoding="utf-8") == "id,text,label\n"
    capsys.readouterr()
    found = evaluate_dev(0)
    assert found["n"] == found["texts"] == 0 and found.keys() == {"n", "texts", "size"}
    assert capsys.readouterr().out == "evaluate: dev holds no texts\n"
    assert tables.read_table("mistakes_dev.parquet").num_rows == 0
    for path in Path("plots/dev").iterdir():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) == (21 if path.stem == "confidence" else 1), path


def test_answers_for_texts_that_are_not_drawn_are_kept_and_counted(folder, capsys):
    run_label()
    gone = "".join(f"{text_id(text)},,negative\n" for text in ("gone", "gone too"))
    for name in ("corrections", "dev_labels"):
        with Path(f"{name}.csv").open("a", encoding="utf-8") as file:
            file.write(gone)
    before = {name: Path(name).read_bytes() for name in ("corrections.csv", "dev_labels.csv")}
    capsys.readouterr()
    assert {row["source"] for row in run_select()} == {"teacher"}
    assert evaluate_dev()["n"] == 0
    lines = capsys.readouterr().out.splitlines()
    for name in before:
        told = f"{name}: 2 answers are for texts that are not drawn now; they are kept"
        assert lines.count(told) == 1
    assert before == {name: Path(name).read_bytes() for name in before}


@pytest.mark.parametrize(
    ("file", "text", "belongs"),
    [
        ("corrections", 24, "data/dev_labels.csv"),
        ("corrections", 20, "data/test_labels.csv"),
        ("dev_labels", 0, "data/corrections.csv"),
        ("dev_labels", 20, "data/test_labels.csv"),
        ("test_labels", 0, "data/corrections.csv"),
        ("test_labels", 24, "data/dev_labels.csv"),
    ],
)
def test_an_answer_in_the_wrong_file_is_refused_with_its_line(folder, file, text, belongs):
    run_label()
    own = {"corrections": 0, "dev_labels": 24, "test_labels": 20}[file]
    rows = "".join(f"{text_id(TEXTS[row])},,negative\n" for row in (own, text))
    Path(f"{file}.csv").write_text(f"id,text,label\n{rows}", encoding="utf-8")
    run = {"corrections": run_select, "dev_labels": evaluate_dev, "test_labels": lambda: run_evaluate(True)}[
        file
    ]
    with pytest.raises(UserError) as error:
        run()
    assert str(error.value) == f"{file}.csv: line 3: {text_id(TEXTS[text])} must be answered in {belongs}"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [([0, 1] * 6, [0, 1]), ([1] * 12, [1, 1])],
    ids=["two classes", "one class only"],
)
def test_baseline(answers, expected):
    texts = [("awful boring film", "lovely warm film")[answer] for answer in answers]
    task = params.load("params.yaml").task
    found = tfidf.fit_predict(texts, one_hot(answers, 3), ["so boring", "so lovely"], task)
    assert found.shape == (2, 3) and found.argmax(1).tolist() == expected
    np.testing.assert_allclose(found.sum(1), 1)


def test_baseline_with_several_labels_per_text(folder):
    change(task={"multi_label": True}, label={"calibration": "none"})
    texts = ["good plot", "bad sound", "good plot bad sound", "nothing said"] * 3
    answers = np.array([[0, 1], [1, 0], [1, 1], [0, 0]] * 3, bool)
    task = params.load("params.yaml").task
    found = tfidf.fit_predict(texts, answers, ["bad bad", "good good", "good bad"], task)
    assert (found[:, 0] > found[1, 0])[[0, 2]].all() and (found[:, 1] > found[0, 1])[[1, 2]].all()


def test_several_labels_per_text_from_scores_to_figures(folder, capsys):
    change(task={"multi_label": True, "threshold": 0.6}, label={"calibration": "none", "temperature": 1.0})
    ids = [text_id(text) for text in TEXTS]
    draw = np.random.default_rng(0)
    scores, against = draw.normal(size=(2, 28, 1, 2)).astype(np.float32) * 2
    label_all(scores, against)
    # what transformers' zero-shot pipeline answers with multi_label
    pairs = np.exp(np.stack([scores, against]))[:, :, 0]
    wanted = (pairs[0] / pairs.sum(0))[:20]
    table = tables.read_table("labeled.parquet")
    np.testing.assert_allclose(tables.matrix(table["probabilities"]), wanted, atol=1e-4)
    names = [[name for name, p in zip(NAMES, row, strict=True) if p >= 0.6] for row in wanted]
    assert table["labels"].to_pylist() == names
    assert {len(found) for found in names} == {0, 1, 2}
    np.testing.assert_allclose(table["confidence"], np.maximum(wanted, 1 - wanted).min(1), atol=1e-4)
    shares = json.loads(Path("label.json").read_text(encoding="utf-8"))["shares"]["after"]
    np.testing.assert_allclose(list(shares.values()), (wanted[4:] >= 0.6).mean(0), atol=1e-4)

    with Path("corrections.csv").open("a", encoding="utf-8") as file:
        file.write(f"{ids[6]},,positive; negative\n{ids[7]},,(none)\n")
    rows = run_select()
    assert rows[6]["labels"] == NAMES and rows[6]["probabilities"] == [1.0, 1.0]
    assert rows[7]["labels"] == [] and rows[7]["probabilities"] == [0.0, 0.0]
    with Path("review.csv").open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    assert first["teacher"] == join(names[ids.index(first["id"])])

    train = tables.read_table("train.parquet")
    hard = dataset.targets(train, NAMES, "hard")
    assert hard.shape == (20, 2) and hard[6].tolist() == [1, 1] and hard[7].tolist() == [0, 0]

    given = {"teacher": [[0], [0, 1], [], [1]], "student": [[0], [1], [], [0]]}
    given |= {"onnx": given["student"], "baseline": [[0]] * 4}
    for who, answers in given.items():
        rows = {
            "id": ids[20:24],
            "probabilities": tables.fixed(np.full((4, 2), 0.95), np.float32),
            "labels": [[NAMES[answer] for answer in row] for row in answers],
        }
        if who == "teacher":
            rows["raw_labels"] = rows["labels"]
        schema = schemas.predictions_schema(2, raw=who == "teacher")
        tables.write_table(f"{who}.parquet", pa.table(rows, schema=schema), model={})
    gold = {"id": ids[20:23], "labels": [["negative"], NAMES, []]}
    tables.write_table("gold.parquet", pa.table(gold, schema=schemas.GOLD))
    Path("test_labels.csv").write_text(f"id,label\n{ids[23]},positive\n", encoding="utf-8")
    found = evaluate_tables()
    assert found["teacher"]["accuracy"] == 1 and found["student"]["accuracy"] == 0.5
    assert found["student"]["f1"] == {"negative": pytest.approx(0.5), "positive": pytest.approx(0.6667)}
    assert found["student"]["micro_f1"] == pytest.approx(4 / 7, abs=1e-4)
    assert found["agreement"] == 0.5
    mistakes = tables.read_table("mistakes.parquet").to_pylist()
    assert [(row["gold"], row["teacher"], row["student"]) for row in mistakes] == [
        ("negative; positive", "negative; positive", "positive"),
        ("positive", "positive", "negative"),
    ]
    assert "(none),(none)" in Path("plots/confusion_student.csv").read_text(encoding="utf-8")
    assert "micro F1" in capsys.readouterr().out


def test_none_of_these_is_a_class_below_a_threshold(folder, capsys):
    change(task={"reject": "other"})
    ids = [text_id(text) for text in TEXTS]
    good = np.array(["good" in text for text in TEXTS], float)
    scores = np.stack([2 - 2 * good, 2 * good], 1)[:, None] + np.linspace(0, 0.4, 28)[:, None, None]
    scores[[5, 9, 13, 17, 22]] -= 9
    label_all(scores)
    labels = tables.read_table("labeled.parquet")["labels"].to_pylist()
    assert [row for row, given in enumerate(labels) if given == ["other"]] == [5, 9, 13, 17]
    assert tables.read_table("teacher_test.parquet")["labels"].to_pylist()[2] == ["other"]
    found = json.loads(Path("label.json").read_text(encoding="utf-8"))
    assert found["reject"]["share"] == found["shares"]["after"]["other"] == 0.25
    probabilities = tables.matrix(tables.read_table("labeled.parquet")["probabilities"])
    assert probabilities.shape == (20, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=2e-4)
    with Path("corrections.csv").open("a", encoding="utf-8") as file:
        file.write(f"{ids[6]},,other\n")
    assert run_select()[6]["probabilities"] == [0, 0, 1]

    scores[[5, 9, 13, 17, 22]] += 9
    capsys.readouterr()
    label_all(scores)
    assert json.loads(Path("label.json").read_text(encoding="utf-8"))["reject"] == {"share": 0.0}
    assert "form no two clusters" in capsys.readouterr().out


def test_equal_tables_are_equal_bytes_and_half_a_table_is_none(tmp_path):
    table = pa.table({"id": ["a"], "text": ["ä"], "row": [1]}, schema=schemas.TEXTS)
    for name in ("one", "two"):
        tables.write_table(tmp_path / name, table, classes=NAMES)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with pytest.raises(ZeroDivisionError), tables.table_writer(tmp_path / "three", schemas.TEXTS) as writer:
        writer.write_table(table)
        raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize(
    ("value", "written"), [(0.123456, 0.1235), (0.00001234, 0.000012), (1, 1), ({"a": 2 / 3}, {"a": 0.6667})]
)
def test_metrics_are_short(value, written):
    assert tables.trimmed(value) == written


def test_a_stage_ends_with_one_line(folder):
    change(train={"epochs": 0})
    root = Path(select.__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-m", "stages.baseline", "train", "dev", "test", "out_dev", "out_test"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(root), "PATH": ""},
    )
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr == "error: params.yaml: train.epochs: must be greater than or equal to 1, found 0\n"


def test_every_parameter_is_explained():
    """Each key has a comment above it, or stands in a block that has one."""
    above = {}
    lines = Path(params.__file__).parents[3].joinpath("params.yaml").read_text(encoding="utf-8").splitlines()
    named = params.load().score  # what a teacher's keys mean stands at those of the first
    for before, line in zip(["", *lines], lines, strict=False):
        key = line.strip().split(":")[0]
        if line.startswith("  ") and not line.startswith("   ") and not line.strip().startswith(("#", "-")):
            above[key] = before.strip().startswith("#")
    unexplained = {key for key, commented in above.items() if not commented} - {"dataset", *named}
    assert len(above) > 25 and not unexplained


@pytest.mark.parametrize(
    "model",
    [item for item in vars(params).values() if isinstance(item, type) and issubclass(item, params.Section)],
)
def test_code_holds_no_default_values(model):
    assert {field.default for field in model.model_fields.values() if not field.is_required()} <= {None}
