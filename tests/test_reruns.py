"""Only what changed runs again: real `dvc repro` on tiny models."""

import json
import time

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

AFTER_SELECT = ["select", "train", "export", "baseline", "evaluate", "forecast", "report"]
AFTER_TRAIN = ["train", "export", "evaluate", "forecast", "report"]


def set_epochs(project):
    with project.params() as params:
        params["train"]["epochs"] = 2


def set_prior(project):
    with project.params() as params:
        params["label"]["prior"] = {"negative": 0.3, "positive": 0.7}


def set_runtime(project):
    with project.params() as params:
        params["runtime"]["threads"] = 1


def set_base(project):
    with project.params() as params:
        params["fetch"]["base"] = project.other_base


def answer(project):
    text_id = project.read("data/review.csv").decode().splitlines()[1].split(",")[0]
    project.append("data/corrections.csv", f"{text_id},,positive\n")


def edit(path):
    def change(project):
        project.append(path, "\n# a note\n")

    return change


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        (set_epochs, AFTER_TRAIN),
        pytest.param(set_prior, ["label", *AFTER_SELECT], marks=pytest.mark.thorough),
        (set_runtime, []),
        (set_base, ["fetch@base", *AFTER_TRAIN]),
        (answer, AFTER_SELECT),
        # an edited script runs its stage; the outs are equal, so nothing behind it does
        (edit("stages/train.py"), ["train"]),
        pytest.param(edit("stages/label.py"), ["label"], marks=pytest.mark.thorough),
        (edit("nolabels/graph.py"), ["export"]),
        (edit("stages/score.py"), ["score@pool", "score@test"]),
        pytest.param(edit("nolabels/calibration.py"), ["label", "forecast"], marks=pytest.mark.thorough),
        pytest.param(edit("nolabels/people.py"), ["select", "evaluate"], marks=pytest.mark.thorough),
        (edit("nolabels/teachers/likelihood.py"), ["score@pool", "score@test"]),
        pytest.param(
            edit("nolabels/packages.py"),
            ["fetch@base", "fetch@dataset", "fetch@teacher"],
            marks=pytest.mark.thorough,
        ),
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
    assert project.repro() == ["sample", "label", *AFTER_SELECT]
    found = json.loads(project.read("metrics/evaluate.json"))
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
        templates = len(params["score"]["templates"])
        params["sample"]["pool"] += 40
    printed = project.dvc("repro", "score@pool")
    asked, known = 340 * templates, 300 * templates
    assert (
        f"340 texts x {templates} templates = {asked} questions, {known} known, {asked - known} to ask"
        in printed
    )


def test_without_gold_files_all_other_stages_run(project):
    """The promise: what must not see gold does not miss it."""
    before = {name: project.read(name) for name in ("data/labeled.parquet", "data/train.parquet")}
    for name in ("gold", "dev_gold", "dev"):
        (project.root / f"data/{name}.parquet").unlink()
    (project.root / "data/test_labels.csv").unlink()
    for name in ("score@test", "label", "select", "train", "export", "baseline"):
        project.dvc("repro", "--single-item", "--force", name)
    assert {name: project.read(name) for name in before} == before


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
    project.repro()
    changed = {line[3:] for line in project.git("status", "--porcelain").splitlines()}
    assert changed <= {"dvc.lock", "metrics/evaluate.json", "metrics/speed.json"}
    assert "dvc.lock" in changed


def test_forced_runs_are_equal(project):
    """The teacher is asked again too: labels, predictions, metrics and dvc.lock come out byte for byte.

    But for the page, which shows how long things took.
    """
    import shutil

    kept = [
        "data/labeled.parquet",
        "data/student_test.parquet",
        "metrics/evaluate.json",
        "metrics/label.json",
    ]
    before = {name: project.read(name) for name in kept}
    lock = project.lock()
    shutil.rmtree(project.root / ".work")
    ran = project.repro("--force")
    assert len(ran) == 14
    assert {name: project.read(name) for name in kept} == before
    assert project.lock() == lock
    assert json.loads(before["metrics/evaluate.json"])["n"] == 60
