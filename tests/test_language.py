"""Another language: German texts, classes and templates, a person's answers in German, and no gold at first."""

import csv
import io
import json
import random

import pyarrow.parquet as pq
import pytest

from nolabels.core.tables import about
from tests import tiny, workspace

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

GUT = ["großartig", "schön", "herzlich", "köstlich"]
SCHLECHT = ["fürchterlich", "öde", "ärgerlich", "übel"]
FILL = [
    "der",
    "die",
    "das",
    "Bücher",
    "Mühe",
    "über",
    "Straße",
    "Frühstück",
    "und",
    "nicht",
    "sehr",
    "heute",
    "wieder",
    "für",
    "Gäste",
]
CLASSES = [{"name": "erfreulich", "words": "erfreulich"}, {"name": "ärgerlich", "words": "ärgerlich"}]
HYPOTHESES = [{"hypothesis": "Dieses Beispiel ist {class}."}, {"hypothesis": "Der Gast fand es {class}."}]


def texts(count):
    draw = random.Random(5)
    for number in range(count):
        words = draw.choices(FILL, k=draw.randint(4, 12))
        words.insert(draw.randrange(len(words)), draw.choice(GUT + SCHLECHT))
        yield f"{' '.join(words)}, Nummer {number}."


def read_csv(project, name):
    return list(csv.DictReader(io.StringIO(project.read(name).decode())))


def test_a_german_task_and_a_person_s_answers(tmp_path, index):
    project = workspace.Workspace.make(tmp_path / "project", index, pool=100, valid=10, test=30, dev=15)
    rows = "".join(f'"{text}"\n' for text in texts(200))
    (project.root / "data/own/gäste.csv").write_text(f"Äußerung\n{rows}", encoding="utf-8")
    tiny.nli_model(
        project.root / "models/own/teacher/nli", "roberta", ("Widerspruch", "neutral", "entailment")
    )
    with project.params() as params:
        params["task"]["classes"] = CLASSES
        params["fetch"]["dataset"], params["fetch"]["models"]["teacher"] = (
            {"own": "gäste.csv"},
            {"own": "nli"},
        )
        params["sample"].update(format="csv", columns=None, text="Äußerung", gold=None)
        params["score"]["teacher"].update(kind="entailment", templates=HYPOTHESES, max_tokens=64)
    printed = project.dvc("repro")
    assert "110 texts x 2 templates" in printed and "accuracy is unknown" in printed
    scores = about(project.root / "data/scores/teacher/pool.parquet")
    assert [json.loads(template) for template in scores["templates"]] == HYPOTHESES
    labeled = pq.read_table(project.root / "data/labeled.parquet")["labels"].to_pylist()
    assert {label for (label,) in labeled} == {"erfreulich", "ärgerlich"}
    config = json.loads(project.read("models/student/config.json"))
    assert config["id2label"] == {"0": "erfreulich", "1": "ärgerlich"}

    metrics = json.loads(project.read("metrics/test.json"))
    assert "student" not in metrics and metrics["n"] == 0 and set(metrics["unseen"]) == {"teacher", "student"}
    # what a person answers to the random test texts counts as gold; `sample` keeps those texts, the test alone is
    # measured anew
    asked = read_csv(project, "data/review_test.csv")[:20]
    assert all("teacher" not in row and "Nummer" in row["text"] for row in asked)
    answers = [
        {**row, "label": "ärgerlich" if any(word in row["text"] for word in SCHLECHT) else "erfreulich"}
        for row in asked
    ]
    sink = io.StringIO()
    writer = csv.DictWriter(sink, answers[0])
    writer.writeheader()
    writer.writerows(answers)
    (project.root / "data/test_labels.csv").write_text(sink.getvalue(), encoding="utf-8")
    assert project.repro() == ["sample", "evaluate@test", "report"]
    metrics = json.loads(project.read("metrics/test.json"))
    assert metrics["n"] == 20
    student = pq.read_table(project.root / "data/student_test.parquet").to_pylist()
    labels = {row["id"]: row["labels"][0] for row in student}
    right = sum(labels[row["id"]] == row["label"] for row in answers)
    assert metrics["student"]["accuracy"] == pytest.approx(right / 20)

    # and answers about pool texts are what the student learns from; the teacher is not asked
    labeled = pq.read_table(project.root / "data/labeled.parquet").to_pylist()
    learned = {row["id"]: row["labels"][0] for row in labeled if row["split"] == "train"}
    wrong = next(
        row["id"] for row in read_csv(project, "data/review.csv") if learned.get(row["id"]) == "erfreulich"
    )
    project.append("data/corrections.csv", f"{wrong},,ärgerlich\n")
    assert sorted(project.repro()) == [
        "baseline",
        "evaluate@dev",
        "evaluate@test",
        "export",
        "forecast",
        "report",
        "select",
        "train",
    ]
    learned = {
        row["id"]: row for row in pq.read_table(project.root / "data/teacher_train.parquet").to_pylist()
    }
    assert learned[wrong]["labels"] == ["ärgerlich"] and learned[wrong]["source"] == "person"
    # an answer in the wrong file is refused with its line
    project.append("data/corrections.csv", f"{asked[0]['id']},,ärgerlich\n")
    printed = project.dvc("repro", fails=True)
    assert (
        f"data/corrections.csv: line 3: {asked[0]['id']} must be answered in data/test_labels.csv" in printed
    )
