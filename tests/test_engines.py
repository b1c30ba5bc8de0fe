"""The Ray engine against the local one, on this machine: the same parts, a worker that is lost, errors."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from nolabels.core import schemas, tables
from nolabels.data.texts import text_id
from tests import tiny
from tests.workspace import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
PARAMS = tiny.one_teacher(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def place(tmp_path, causal_folder):
    """A folder with 700 texts, and place(engine) that makes its params.yaml; two threads for the workers to share."""
    texts = [text for _, text in tiny.sentences(700)]
    ids = [text_id(text) for text in texts]
    rows = {"id": ids, "text": texts, "split": ["train"] * 700, "row": list(range(700))}
    tables.write_table(tmp_path / "pool.parquet", pa.table(rows, schema=schemas.POOL))

    def write(engine, **runtime):
        values = yaml.safe_load(yaml.safe_dump(PARAMS))
        values["score"]["teacher"]["precision"] = "float32"
        values["runtime"].update(engine=engine, threads=1, device="cpu", store=f".work/{engine}", **runtime)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")

    write("local")
    return write


def start(folder, model, out):
    """The score stage as a process of its own; RAY_ADDRESS is not what somebody's shell says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "stages.score", "teacher", "pool.parquet", str(model), out],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    printed, _ = process.communicate(timeout=300)
    return process.returncode, printed


def workers():
    """Processes of Ray's that hold an actor."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::Worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def parts(folder, engine):
    return {path.name: path.read_bytes() for path in (folder / ".work" / engine).rglob("*.parquet")}


def test_workers_leave_what_one_process_leaves_also_when_one_is_lost(place, tmp_path, causal_folder):
    code, printed = finish(start(tmp_path, causal_folder, "local.parquet"))
    assert code == 0, printed
    place("ray")
    process = start(tmp_path, causal_folder, "ray.parquet")
    ends = time.monotonic() + 120
    while not parts(tmp_path, "ray"):  # the first is answered, others are in hand
        assert time.monotonic() < ends and process.poll() is None, finish(process)
        time.sleep(0.01)
    lost = workers()
    os.kill(lost[0], signal.SIGKILL)
    code, printed = finish(process)
    assert code == 0, printed
    assert re.search(r"score: \d+ workers of Ray, 1 threads each", printed) and len(lost) > 1
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert parts(tmp_path, "ray") == parts(tmp_path, "local")
    time.sleep(1)
    assert not workers()


def test_a_model_of_another_kind_is_one_line(place, tmp_path, base_folder):
    place("ray")
    code, printed = finish(start(tmp_path, base_folder, "ray.parquet"))
    assert code == 1
    (line,) = [line for line in printed.splitlines() if line.startswith("error:")]
    assert line.startswith("error: params.yaml: score.teacher.kind: likelihood needs a causal language model")
    assert "Traceback" not in printed


def test_a_cluster_out_of_reach_is_one_line(place, tmp_path, causal_folder):
    place("ray")
    process = subprocess.run(
        [sys.executable, "-m", "stages.score", "teacher", "pool.parquet", str(causal_folder), "ray.parquet"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_ADDRESS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 1
    assert "error: RAY_ADDRESS: must name a cluster within reach, found 127.0.0.1:1" in process.stderr
    assert "Traceback" not in process.stderr
