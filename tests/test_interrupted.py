"""Killed at any moment: the next run ends as an undisturbed one, and nothing goes on writing."""

import os
import re
import shutil
import signal
import time

import psutil
import pytest
import yaml

from tests.workspace import edited

pytestmark = pytest.mark.slow

KEPT = ["data/labeled.parquet", "data/student_test.parquet", "metrics/evaluate.json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, index):
    """An undisturbed run with a pool of several parts."""
    from tests.workspace import Workspace

    done = Workspace.make(tmp_path_factory.mktemp("whole") / "project", index, pool=420)
    done.repro()
    return done


def never_ran(whole, folder, stage):
    """The finished project, as if one stage had not run: DVC would else restore what it knows."""
    project = whole.copy(folder / "project")
    shutil.rmtree(project.root / ".dvc/cache/runs")
    with edited(project.root / "dvc.lock") as lock:
        del lock["stages"][stage]
    return project


def assert_ends_like(project, whole):
    assert {name: project.read(name) for name in KEPT} == {name: whole.read(name) for name in KEPT}
    assert yaml.safe_load(project.read("dvc.lock")) == yaml.safe_load(whole.read("dvc.lock"))


def forget_answers(project):
    for part in (project.root / ".work").rglob("*.parquet"):
        part.unlink()


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
    stage = {"fetch": "fetch@dataset", "score": "score@pool"}.get(module, module)
    project = never_ran(whole, tmp_path, stage)
    if module == "score":
        forget_answers(project)
    dvc = project.start("repro", "--single-item", stage)
    process = stage_process(dvc, module)
    time.sleep(delay)
    process.kill()
    dvc.wait(60)
    assert stage in project.repro()
    assert_ends_like(project, whole)


def test_score_goes_on_behind_its_last_finished_part(whole, tmp_path):
    project = never_ran(whole, tmp_path, "score@pool")
    forget_answers(project)
    dvc = project.start("repro", "--single-item", "score@pool")
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
    stage = {"score": "score@pool"}.get(module, module)
    project = never_ran(whole, tmp_path, stage)
    forget_answers(project)
    dvc = project.start("repro", "--single-item", stage)
    process = stage_process(dvc, module)
    time.sleep(1.0)
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.wait(60)
    _, alive = psutil.wait_procs([process], timeout=5)
    assert not alive
    project.repro()
    assert_ends_like(project, whole)
