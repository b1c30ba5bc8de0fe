"""Experiments side by side: a queue with two workers, and tables that a person can read."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import readme

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def states(project):
    """{name of the experiment: what the queue says of it}."""
    printed = project.dvc("queue", "status")
    return dict(re.findall(r"^\w{7}\s+(\S+)\s+.*?(Queued|Running|Success|Failed)\s*$", printed, flags=re.M))


def start_workers(project, count):
    """The workers outlive the command and keep its output open: a pipe would be waited for."""
    command = [sys.executable, "-m", "dvc", "queue", "start", "-j", str(count)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, cwd=project.root, env=project.environment(), check=True, **silent)


def kill_stage_of(project, words):
    """Kills a stage's process of an experiment whose command holds these words, as soon as there is one."""
    ends = time.monotonic() + 300
    while time.monotonic() < ends:
        for place in Path("/proc").glob("[0-9]*"):
            try:
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                folder = str((place / "cwd").readlink())
            except OSError:  # it has ended meanwhile
                continue
            if (
                words in command
                and "sh -c" not in command
                and folder.startswith(f"{project.root}/.dvc/tmp/exps")
            ):
                os.kill(int(place.name), signal.SIGKILL)
                return
        time.sleep(0.05)
    raise AssertionError(f"no process with {words}")


def test_of_six_queued_experiments_with_two_workers_one_is_killed(project):
    before = project.read("params.yaml"), project.read("dvc.lock")
    names = [f"seed-{number}" for number in range(6)]
    for number, name in enumerate(names):
        # a seed of the draw: the teacher has texts to read that another experiment may be asking for
        project.dvc("exp", "run", "--queue", "-n", name, "-S", f"train.seed={number}", "-S", "sample.seed=7")
    assert set(states(project)) == set(names)
    start_workers(project, 2)
    kill_stage_of(project, "stages.train")
    ends = time.monotonic() + 500
    while {"Queued", "Running"} & set(states(project).values()) and time.monotonic() < ends:
        time.sleep(2)
    found = states(project)
    assert sorted(found.values()) == ["Failed"] + ["Success"] * 5, found
    failed = next(name for name, state in found.items() if state == "Failed")
    assert "failed" in project.dvc("queue", "logs", failed).lower()
    # all found the answers that the first of them asked for, in the store of the project
    logs = [project.dvc("queue", "logs", name) for name in names if name != failed]
    asked = [sum(map(int, re.findall(r"(\d+) to ask", log))) for log in logs]
    assert asked.count(0) >= 3, asked
    assert (project.read("params.yaml"), project.read("dvc.lock")) == before
    assert project.git("status", "--porcelain").strip() == ""

    shown = project.dvc("exp", "show", "--only-changed", "--csv", "--precision", "4")
    header = shown.splitlines()[0]
    assert "metrics/dev.json:student.accuracy" in header and "train.seed" in header
    assert all(name in shown for name in names if name != failed)


def test_readme_s_three_experiments_run_as_they_are_printed(project):
    """With tiny assets, and a pool that they are enough for."""
    text = readme.section("Three experiments")
    with project.params() as values:
        base = values["fetch"]["models"]["base"]
    with project.params("presets/reviews-encoder.yaml") as values:
        values["fetch"]["models"]["encoder"] = base
        del values["score"]["base"]  # the project of the tests has one teacher, which this takes out
    project.git("commit", "-qam", "Tiny assets in the preset")
    project.git("branch", "-M", "main")
    commands, comparisons = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    assert commands.count("sample.pool=2000") == 1
    before = project.read("params.yaml"), project.read("dvc.lock")
    printed = shell(project, commands.replace("sample.pool=2000", "sample.pool=320"))
    assert "Traceback" not in printed
    assert (project.read("params.yaml"), project.read("dvc.lock")) == before

    shown, metrics, changed = (shell(project, command) for command in comparisons.splitlines())
    assert all(name in shown for name in ("more-text", "other-teacher", "half-student"))
    assert "student.accuracy" in shown and "metrics/dev.json" in metrics
    assert re.search(r"sample\.pool +280 +320", changed)
    assert "more-text" in shell(project, "dvc exp show --no-pager --only-changed")
    assert "index.html" in shell(project, "dvc plots diff more-text half-student")
    shell(project, "dvc exp apply more-text")
    with project.params() as values:
        assert values["sample"]["pool"] == 320


def shell(project, commands):
    """What the commands print: to a file, since DVC's workers outlive them and keep their output open."""
    path = project.root.parent / "printed.txt"
    with path.open("w") as file:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=project.root,
            env=project.environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    printed = path.read_text()
    assert ended.returncode == 0, printed[-4000:]
    return printed
