"""Experiments compared and artifacts shared, the way DVC's users do it."""

import re

import pytest

from tests.workspace import stages_of

pytestmark = pytest.mark.slow


def test_an_experiment_is_compared_with_the_committed_run(project):
    ran = stages_of(project.dvc("exp", "run", "-S", "train.epochs=2", "-S", "train.learning_rate=0.01"))
    assert sorted(ran) == ["evaluate", "export", "forecast", "report", "train"]
    header, *lines = project.dvc("metrics", "diff").strip().splitlines()
    assert header.split() == ["Path", "Metric", "HEAD", "workspace", "Change"]
    rows = {line.split()[1]: line.split() for line in lines}
    assert len(rows) == len(lines) >= 3, lines
    for path, metric, before, after, change in rows.values():
        assert path == (
            "metrics/speed.json" if metric.startswith(("score", "train")) else "metrics/evaluate.json"
        )
        assert float(after) - float(before) == pytest.approx(float(change), abs=1e-3)
    assert {"agreement", "student.accuracy", "student.macro_f1", "difference.accuracy"} & set(rows)
    with project.params() as params:
        assert params["train"]["epochs"] == 2


def test_an_exponent_from_the_command_line_is_a_number(project):
    """DVC writes 2e-05, which YAML 1.1 reads as text."""
    project.dvc("exp", "run", "-S", "train.learning_rate=0.00002")
    assert re.search(r"learning_rate: '?2e-05", project.read("params.yaml").decode())
    assert project.repro() == []


def test_a_second_clone_pulls_everything_and_runs_nothing(project, tmp_path):
    remote = tmp_path / "remote"
    project.dvc("remote", "add", "-d", "shared", str(remote))
    project.git("commit", "-qam", "A remote")
    project.dvc("push")
    other = project.clone(tmp_path / "other")
    other.dvc("pull", online=False)
    assert "up to date" in other.dvc("status", online=False)
    assert other.repro(online=False) == []
    for name in ("data/labeled.parquet", "models/student/model.safetensors", "metrics/label.json"):
        assert other.read(name) == project.read(name)


def test_a_colleague_is_spared_a_run_that_was_made_before(project, tmp_path):
    project.dvc("remote", "add", "-d", "shared", str(tmp_path / "remote"))
    project.git("commit", "-qam", "A remote")
    with project.params() as params:
        params["score"]["templates"] = params["score"]["templates"][:2]
    project.repro()
    project.dvc("push", "--run-cache", "-A")
    made = project.read("data/scores/0/pool.parquet")

    other = project.clone(tmp_path / "other")
    (other.root / "params.yaml").write_bytes(project.read("params.yaml"))
    printed = other.dvc("repro", "--pull", online=False)
    assert set(stages_of(printed)) <= {"evaluate"}  # its metrics lie in Git, so DVC cannot restore them
    assert other.read("data/scores/0/pool.parquet") == made
