"""Experiments compared and artifacts shared, the way DVC's users do it."""

import re

import pytest

pytestmark = pytest.mark.slow


def test_an_experiment_is_compared_with_the_committed_run(project):
    project.dvc("exp", "run", "-S", "train.epochs=2")
    printed = project.dvc("metrics", "diff", "HEAD")
    rows = [line.split() for line in printed.splitlines() if "student" in line or "agreement" in line]
    assert printed.splitlines()[0].split()[:2] == ["Path", "Metric"]
    assert all(row[0] in ("metrics/evaluate.json", "metrics/speed.json") for row in rows)
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
    ran = re.findall(r"^Running stage '([^']+)'", printed, flags=re.M)
    assert set(ran) <= {"evaluate"}  # its metrics lie in Git, so DVC cannot restore them
    assert other.read("data/scores/0/pool.parquet") == made
