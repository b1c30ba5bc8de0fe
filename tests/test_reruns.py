"""Only what changed runs again: real `dvc repro` on tiny models."""

import csv
import io
import json
import re
import shutil
import time

import pyarrow.parquet as pq
import pytest

from nolabels.setup import presets
from tests import deps, tiny, workspace

pytestmark = pytest.mark.slow

EVALUATE, SCORE = (
    ["evaluate@dev", "evaluate@test"],
    [f"score@teacher-{part}" for part in ("clusters", "dev", "pool", "test")],
)
AFTER_SELECT = ["select", "train", "export", "baseline", *EVALUATE, "forecast", "report"]
AFTER_TRAIN = ["train", "export", *EVALUATE, "forecast", "report"]


def set_prior(project):
    with project.params() as params:
        params["label"]["prior"] = {"negative": 0.3, "positive": 0.7}


def set_runtime(project):
    with project.params() as params:
        params["runtime"]["threads"] = 1


def set_base(project):
    with project.params() as params:
        params["fetch"]["models"]["base"] = project.other_base


def answer(project):
    text_id = project.read("data/review.csv").decode().splitlines()[1].split(",")[0]
    project.append("data/corrections.csv", f"{text_id},,positive\n")


def edit(path):
    def change(project):
        project.append(path, "\n# a note\n")

    return change


def edit_predict(project):
    """Another letter in a comment: predict.py ships, and a longer one could change the size on the page."""
    path = project.root / "nolabels/students/predict.py"
    text = path.read_text(encoding="utf-8")
    assert "# tokens in" in text
    path.write_text(text.replace("# tokens in", "# Tokens in"), encoding="utf-8")


def reword(project):
    """Another message in every module that decides no result, and a check of the parameters more."""
    for path in deps.LEFT_OUT:
        modules = sorted((project.root / path).rglob("*.py")) or [project.root / path]
        for module in modules:
            text = module.read_text(encoding="utf-8")
            module.write_text(text.replace(": must ", ": has to ") + "\n# a note\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        pytest.param(set_prior, ["label", *AFTER_SELECT], marks=pytest.mark.thorough),
        (set_runtime, []),
        pytest.param(set_base, ["fetch@base", *AFTER_TRAIN], marks=pytest.mark.thorough),
        # an edited script runs its stage; the outs are equal, so nothing behind it does
        (edit("stages/train.py"), ["train"]),
        pytest.param(edit("stages/label.py"), ["label"], marks=pytest.mark.thorough),
        (edit_predict, ["export"]),
        # a teacher may be read as such a graph too
        pytest.param(edit("nolabels/onnx/graph.py"), [*SCORE, "export"], marks=pytest.mark.thorough),
        (edit("stages/score.py"), SCORE),
        pytest.param(
            edit("nolabels/labeling/calibration.py"), ["label", "forecast"], marks=pytest.mark.thorough
        ),
        pytest.param(
            edit("nolabels/data/annotations.py"), ["sample", "select", *EVALUATE], marks=pytest.mark.thorough
        ),
        (edit("nolabels/teachers/likelihood.py"), SCORE),
        (reword, []),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_runs_after_a_change(project, index, change, ran):
    object.__setattr__(project, "other_base", index["tiny_base_two"])
    change(project)
    assert sorted(project.repro()) == sorted(ran)


def test_several_labels_per_text_do_not_ask_the_teacher_again(project):
    from transformers import pipeline

    with project.params() as params:
        params["task"]["multi_label"] = True
        params["task"]["threshold"] = 0.4
        params["label"]["prior"] = {"negative": 0.4, "positive": 0.3}
    # the raw answers are read another way, and come out as before
    assert sorted(project.repro()) == sorted(["sample", "label", *AFTER_SELECT])
    found = json.loads(project.read("metrics/test.json"))
    assert 0 <= found["student"]["micro_f1"] <= 1
    classify = pipeline("text-classification", str(project.root / "models/student"), top_k=None)
    assert classify.model.config.threshold == 0.4
    table = pq.read_table(project.root / "data/student_test.parquet").slice(0, 1).to_pylist()[0]
    text = pq.read_table(project.root / "data/test.parquet")["text"][0].as_py()
    given = {row["label"]: row["score"] for row in classify([text])[0]}
    assert [given["negative"], given["positive"]] == pytest.approx(table["probabilities"], abs=1e-3)
    assert table["labels"] == [name for name in ("negative", "positive") if given[name] >= 0.4]


def test_nothing_runs_after_nothing(project):
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        assert project.repro() == []
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 5


def test_a_larger_pool_asks_only_for_its_new_texts(project):
    with project.params() as params:
        templates = len(params["score"]["teacher"]["templates"])
        params["sample"]["pool"] += 40
    printed = project.dvc("repro", "score@teacher-pool")
    asked, known = 340 * templates, 300 * templates
    assert (
        f"340 texts x {templates} templates = {asked} questions, {known} known, {asked - known} to ask"
        in printed
    )


@pytest.mark.thorough
def test_a_teacher_more_asks_that_one_and_one_less_asks_none(project, index):
    before = project.read("data/labeled.parquet")
    with project.params() as params:
        params["fetch"]["models"]["encoder"] = index["tiny_base_two"]
        params["score"]["encoder"] = {
            **{"kind": "similarity", "templates": [{"class_text": "It is {class}."}]},
            **{"max_tokens": 64, "long_text": "truncate", "stride": None, "precision": "float32"},
        }
    # a folder of this name is there, since the shipped params.yaml has such a model
    asked = [f"score@encoder-{part}" for part in ("clusters", "dev", "pool", "test")]
    assert sorted(project.repro()) == sorted(["fetch@encoder", *asked, "label", *AFTER_SELECT])
    assert project.read("data/labeled.parquet") != before
    assert list(json.loads(project.read("metrics/label.json"))["teachers"]) == ["teacher", "encoder"]
    page = project.read("reports/index.html").decode()
    assert "tiny_teacher==1.0" in page and "tiny_base_two==1.0" in page
    with project.params() as params:
        del params["fetch"]["models"]["encoder"], params["score"]["encoder"]
    ran = project.repro()
    assert "label" in ran and not {stage for stage in ran if stage.startswith(("score", "fetch", "train"))}
    assert project.read("data/labeled.parquet") == before
    assert project.repro() == []


def outs_of(project, stages):
    """{path: bytes} of all that the stages write, in folders too."""
    lock = project.whole_lock()
    paths = [project.root / out["path"] for name in stages for out in lock[name]["outs"]]
    files = [
        file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    ]
    return {file.relative_to(project.root).as_posix(): file.read_bytes() for file in files}


def test_without_answers_all_stages_but_sample_and_evaluate_write_the_same(project):
    """The promise: what must not see gold does not miss it, neither the source's nor people's."""
    answer(project)
    assert sorted(project.repro()) == sorted(AFTER_SELECT)
    # the page first: it shows how long training took
    stages = ["report", "forecast", *SCORE, "label", "select", "train", "export", "baseline"]
    everything = {name for name in project.whole_lock() if not name.startswith("fetch")}
    assert set(stages) == everything - {"sample", *EVALUATE}
    before = outs_of(project, stages)
    assert len(before) > 20
    for path in ("data/gold.parquet", "data/dev_gold.parquet", "data/dev_labels.csv", "data/test_labels.csv"):
        (project.root / path).unlink()
    shutil.rmtree(project.root / "data/raw")
    shutil.rmtree(project.root / ".work")  # the teacher is asked again
    for name in stages:
        project.dvc("repro", "--single-item", "--force", name)
    after = outs_of(project, stages)
    assert before.keys() == after.keys() and [path for path in before if before[path] != after[path]] == []


def parts_of(project):
    """{part: its texts}."""
    return {
        name: set(pq.read_table(project.root / f"data/{name}.parquet")["text"].to_pylist())
        for name in ("pool", "dev", "test")
    }


def review(project, name, count, answer):
    """The first rows of a review file as a person saves them: {text: answer}, and the file's bytes."""
    rows = list(csv.DictReader(io.StringIO(project.read(f"data/{name}.csv").decode())))[:count]
    lines = "".join(f"{row['id']},{answer}\n" for row in rows)
    return {row["text"]: answer for row in rows}, f"id,label\n{lines}".encode()


def write_csv(path, texts):
    path.write_text("text\n" + "".join(f'"{text}"\n' for text in texts), encoding="utf-8")


def test_of_new_rows_only_they_are_asked_and_answers_stay(tmp_path, index):
    """A csv of one's own without gold, as the preset draws it: all of each zone."""
    project = workspace.Workspace.make(tmp_path / "project", index)
    (project.root / "params.yaml").write_text(presets.text_of("own-csv"), encoding="utf-8")
    texts = [f"{text} {number}" for number, (_, text) in enumerate(tiny.sentences(400, seed=7))]
    path = project.root / "data/own/reviews.csv"
    write_csv(path, texts[:300])
    with project.params() as params:
        tiny.one_teacher(params)
        params["fetch"]["models"] = {"teacher": index["tiny_teacher"], "base": index["tiny_base"]}
        params["train"]["epochs"] = 1
        templates = len(params["score"]["teacher"]["templates"])
    project.repro("select")
    given = {}
    for source, file, count in (
        ("review", "corrections", 3),
        ("review_dev", "dev_labels", 12),
        ("review_test", "test_labels", 8),
    ):
        given[file], content = review(project, source, count, "positive")
        (project.root / f"data/{file}.csv").write_bytes(content)
    before = parts_of(project)
    kept = {name: project.read(f"data/{name}.csv") for name in given}

    write_csv(path, texts)
    printed = project.dvc("repro")
    after = parts_of(project)
    new = {name: after[name] - before[name] for name in after}
    assert set().union(*new.values()) == set(texts[300:]) and all(new.values())
    for name in after:
        assert before[name] <= after[name]
        known, asked = len(before[name]) * templates, len(new[name]) * templates
        assert (
            f"score: teacher, {name}: {len(after[name])} texts x {templates} templates = {known + asked} questions, "
            f"{known} known, {asked} to ask" in printed
        )
    assert kept == {name: project.read(f"data/{name}.csv") for name in given}
    assert [json.loads(project.read(f"metrics/{name}.json"))["n"] for name in ("dev", "test")] == [12, 8]
    learned = pq.read_table(project.root / "data/teacher_train.parquet").to_pylist()
    assert {row["text"]: row["labels"][0] for row in learned if row["source"] == "person"} == given[
        "corrections"
    ]

    # rows that are gone take no answer with them: the answers to them are kept and counted
    gone = {file: next(iter(answers)) for file, answers in given.items()}
    write_csv(path, [text for text in texts if text not in gone.values()])
    printed = project.dvc("repro", "select")
    assert not re.search(r"[1-9]\d* to ask", printed)
    assert "data/corrections.csv: 1 answers are for texts that are not drawn now; they are kept" in printed
    assert kept == {name: project.read(f"data/{name}.csv") for name in given}
    answered = {"pool": "corrections", "dev": "dev_labels", "test": "test_labels"}
    for part, left in parts_of(project).items():
        assert left == after[part] - {gone[answered[part]]}


def test_answers_to_dev_give_dev_its_accuracy_and_leave_the_test_alone(tmp_path, index):
    project = workspace.Workspace.make(tmp_path / "project", index, gold=None)
    project.repro()
    for name in ("dev", "test"):
        found = json.loads(project.read(f"metrics/{name}.json"))
        assert found["n"] == 0 and "student" not in found
    test = {
        path: project.read(path)
        for path in ("metrics/test.json", "data/test.parquet", "data/review_test.csv")
    }
    for name in ("dev", "test"):
        assert project.read(f"data/review_{name}.csv").startswith(b"id,text,label\n")
    content = review(project, "review_dev", 15, "negative")[1]
    (project.root / "data/dev_labels.csv").write_bytes(content)
    assert project.repro() == ["sample", "evaluate@dev", "report"]
    found = json.loads(project.read("metrics/dev.json"))
    assert found["n"] == 15 and 0 <= found["student"]["accuracy"] <= 1
    student = pq.read_table(project.root / "data/student_dev.parquet").to_pylist()
    labels = {row["id"]: row["labels"] for row in student}
    ids = [line.split(b",")[0].decode() for line in content.splitlines()[1:]]
    right = sum(labels[identifier] == ["negative"] for identifier in ids)
    assert found["student"]["accuracy"] == pytest.approx(right / 15, abs=1e-4)
    assert test == {path: project.read(path) for path in test}
    assert "of the dev texts correctly" in project.read("reports/report.md").decode()


@pytest.mark.thorough
def test_a_run_without_dev_ends_well(tmp_path, index):
    """No text to choose by, through every stage."""
    project = workspace.Workspace.make(tmp_path / "project", index, dev=0)
    printed = project.dvc("repro")
    assert "score: teacher, dev: 0 texts x 4 templates = 0 questions, 0 known, 0 to ask" in printed
    assert "evaluate: dev holds no texts" in printed
    assert json.loads(project.read("metrics/dev.json")).keys() == {"n", "texts", "size"}
    assert json.loads(project.read("metrics/test.json"))["n"] == 60
    assert project.repro() == []


def test_pool_dev_and_test_share_no_text(project):
    # the source holds each of some texts twice, in other case and with other spaces
    assert "(60 duplicates," in project.dvc("repro", "--force", "--single-item", "sample")
    seen = {}
    for name in ("pool", "dev", "test"):
        for text in pq.read_table(project.root / f"data/{name}.parquet")["text"].to_pylist():
            assert seen.setdefault(" ".join(text.casefold().split()), name) == name
    assert len(seen) == 280 + 20 + 20 + 60


def test_a_run_leaves_git_clean_but_for_lock_metrics_and_plots(project):
    with project.params() as params:
        params["train"]["epochs"] = 2
    project.git("commit", "-qam", "More epochs")
    assert sorted(project.repro()) == sorted(AFTER_TRAIN)
    changed = {line[3:] for line in project.git("status", "--porcelain").splitlines()}
    assert changed <= {"dvc.lock", "metrics/dev.json", "metrics/test.json", "metrics/speed.json"}
    assert "dvc.lock" in changed


@pytest.mark.thorough
def test_forced_runs_are_equal(project):
    """The teacher is asked again too: labels, predictions, metrics and dvc.lock come out byte for byte.

    But for the page, which shows how long things took.
    """
    kept = [
        "data/labeled.parquet",
        "data/student_test.parquet",
        "data/student_dev.parquet",
        "metrics/dev.json",
        "metrics/test.json",
        "metrics/label.json",
    ]
    before = {name: project.read(name) for name in kept}
    lock = project.lock()
    shutil.rmtree(project.root / ".work")
    ran = project.repro("--force")
    assert len(ran) == 17
    assert {name: project.read(name) for name in kept} == before
    assert project.lock() == lock
    assert json.loads(before["metrics/test.json"])["n"] == 60
