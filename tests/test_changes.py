"""What changed since a revision, and the comment that a pull request gets."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nolabels import changes, comment
from nolabels.core.stage import UserError
from nolabels.reporting.changes import figures_of

BASE = "main"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    return tmp_path


def test_figures_of_metrics_without_gold_are_confidence_and_shares():
    unseen = {"confidence": 0.9, "coverage": 0.5, "shares": {"a": 0.25, "b": 0.75}}
    found = figures_of({"student": {"accuracy": 0.8, "ece": 0.1}, "unseen": {"teacher": unseen}})
    assert found == {
        ("student", "accuracy"): 0.8,
        ("teacher", "mean confidence"): 0.9,
        ("teacher", "share of a"): 0.25,
        ("teacher", "share of b"): 0.75,
    }


@pytest.mark.parametrize("command", [changes, comment])
def test_a_revision_that_is_none_is_one_line(repository, command):
    with pytest.raises(UserError, match=r"^revision: must be a commit, branch or tag .*, found v9$"):
        command.main(["v9"])


def test_a_long_comment_is_cut_at_a_line():
    text = "\n".join(f"line {number}" for number in range(20_000))
    short = comment.shortened(text)
    assert len(short) <= comment.MOST_LETTERS and comment.shortened("short") == "short"
    assert short.endswith("(The rest is in `reports/index.html`.)\n") and text.startswith(
        short.rpartition("\n\n")[0]
    )


def test_without_gold_there_is_no_curve(tmp_path):
    path = tmp_path / "coverage.csv"
    path.write_text("coverage,teacher,student\n")
    assert comment.curve(path) == ""


def test_workflows_are_yaml_with_pinned_actions():
    for path in Path(".github/workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        used = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]
        assert used and all("@" in name for name in used), path
        assert all(job["timeout-minutes"] for job in jobs)


FAKE = """#!/bin/sh
# writes down what it is asked, and the comment
printf '%s\\n' "$@" > "$ASKED/words"
while [ $# -gt 1 ]; do [ "$1" = --body-file ] && cp "$2" "$ASKED/comment.md"; shift; done
"""


@pytest.mark.slow
@pytest.mark.thorough
def test_a_pull_request_gets_one_comment(project, tmp_path):
    """The workflow's script whole, on a clone that has Git and a remote alone; only GitHub's own program is made up."""
    project.dvc("remote", "add", "-d", "shared", str(tmp_path / "remote"))
    project.git("add", "-A")
    project.git("commit", "-qm", "A run and a remote")
    project.dvc("push", "--run-cache")
    project.git("branch", "-M", BASE)
    other = project.clone(tmp_path / "clone")
    with other.params() as params:
        params["sample"]["pool"] += 40
    other.git("commit", "-qam", "More texts")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gh").write_text(FAKE)
    (tools / "gh").chmod(0o755)
    path = f"{tools}:{other.environment()['PATH']}"
    result = other.run(
        [".github/comment.sh", f"origin/{BASE}", "7"], more={"PATH": path, "ASKED": str(tmp_path)}
    )
    assert result.returncode == 0, result.stdout
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:5] == ["pr", "comment", "7", "--edit-last", "--create-if-none"]
    text = (tmp_path / "comment.md").read_text(encoding="utf-8")
    assert text.startswith(other.read("reports/report.md").decode().strip())
    # the pool's table of the base is not in the clone's cache: said, not guessed
    assert "| pool |  | 340 |  |  |" in text and "`dvc fetch -A` brings them" in text
    other.dvc("fetch", "-A")
    printed = other.run([sys.executable, "-m", "nolabels.changes", f"origin/{BASE}"]).stdout
    assert "| pool | 300 | 340 | 40 | 0 |" in printed and "| test | 60 | 60 | 0 | 0 |" in printed
    before, now = (json.loads(one.read("metrics/dev.json")) for one in (project, other))
    old, new = (metrics["unseen"]["student"]["confidence"] for metrics in (before, now))
    line = f"| dev | student | mean confidence | {old:.4f} | {new:.4f} | {new - old:+.4f} |"
    assert line in text and line in printed
    assert "| metrics/dev.json |" in text
    with (other.root / "plots/dev/coverage.csv").open(newline="") as file:
        student = [round(float(row["student"]), 4) for row in csv.DictReader(file)]
    assert f"  line {student}\n```" in text


def test_the_script_can_be_run():
    assert Path(".github/comment.sh").stat().st_mode & 0o100
