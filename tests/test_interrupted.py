"""Killed at any moment: the next run ends as an undisturbed one, and nothing goes on writing."""

import os
import re
import signal
import time

import psutil
import pytest

pytestmark = pytest.mark.slow

KEPT = ["data/labeled.parquet", "data/student_test.parquet", "metrics/evaluate.json", "dvc.lock"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, index):
    """An undisturbed run with a pool of several parts."""
    from tests.workspace import Workspace

    done = Workspace.make(tmp_path_factory.mktemp("whole") / "project", index, pool=420)
    done.repro()
    return done


def stage_process(dvc, module, patience=120):
    """The process that runs a stage below a running `dvc`."""
    deadline = time.time() + patience
    while time.time() < deadline:
        try:
            for child in psutil.Process(dvc.pid).children(recursive=True):
                if f"stages.{module}" in child.cmdline():
                    return child
        except psutil.NoSuchProcess:
            pass
        assert dvc.poll() is None, dvc.stdout.read()[-3000:]
        time.sleep(0.005)
    raise AssertionError(f"{module} did not start")


@pytest.mark.parametrize(
    ("module", "delay"),
    [
        ("fetch", 0.3),
        ("sample", 0.4),
        ("score", 2.0),
        ("label", 0.3),
        ("select", 0.3),
        ("train", 4.0),
        ("evaluate", 0.3),
    ],
)
def test_a_killed_stage_is_made_good_by_the_next_run(whole, tmp_path, module, delay):
    # all before the stage is done already: take it over and run the rest
    project = whole.copy(tmp_path / "project")
    force = {"fetch": "fetch@dataset", "score": "score@pool"}.get(module, module)
    if module == "score":
        for part in (project.root / ".work").rglob("*.parquet"):
            part.unlink()
    dvc = project.start("repro", "--force", "--single-item", force)
    process = stage_process(dvc, module)
    time.sleep(delay)
    process.kill()
    dvc.wait(60)
    project.repro()
    assert {name: project.read(name) for name in KEPT} == {name: whole.read(name) for name in KEPT}


def test_score_goes_on_behind_its_last_finished_part(whole, tmp_path):
    project = whole.copy(tmp_path / "project")
    for part in (project.root / ".work").rglob("*.parquet"):
        part.unlink()
    dvc = project.start("repro", "--force", "--single-item", "score@pool")
    process = stage_process(dvc, "score")
    while not list((project.root / ".work").rglob("*.parquet")):
        assert dvc.poll() is None
        time.sleep(0.002)
    process.kill()
    dvc.wait(60)
    printed = project.dvc("repro", "score@pool")
    known, asked = map(int, re.search(r"(\d+) known, (\d+) to ask", printed).groups())
    assert known >= 128 * 4 and asked > 0
    assert project.read("data/scores/0/pool.parquet") == whole.read("data/scores/0/pool.parquet")


@pytest.mark.parametrize("module", ["score", "train"])
def test_no_orphan_goes_on_when_dvc_is_killed(whole, tmp_path, module):
    project = whole.copy(tmp_path / "project")
    for part in (project.root / ".work").rglob("*.parquet"):
        part.unlink()
    dvc = project.start("repro", "--force", "--single-item", {"score": "score@pool"}.get(module, module))
    process = stage_process(dvc, module)
    time.sleep(1.0)
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.wait(60)
    _, alive = psutil.wait_procs([process], timeout=5)
    assert not alive
    project.repro()
    assert {name: project.read(name) for name in KEPT} == {name: whole.read(name) for name in KEPT}
