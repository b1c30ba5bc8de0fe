"""What stages take at their peak, each run as a process of its own."""

import csv
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from nolabels.core.schemas import TEXTS
from nolabels.core.tables import matrix, write_table
from nolabels.data.texts import text_id
from tests import sampling, tiny

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

# the largest resident set of a stage in MiB, from /proc: that of `getrusage` counts the parent's pages too
PEAK = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
finally:
    print("peak", int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024)
"""


def peak(folder, module, *paths):
    result = subprocess.run(
        [sys.executable, "-c", PEAK, f"stages.{module}", *paths],
        cwd=folder,
        env={"PYTHONPATH": str(sampling.ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return int(result.stdout.rpartition("peak ")[2])


def test_150_classes_and_2000_texts(tmp_path):
    import pyarrow as pa

    sampling.write_params(tmp_path)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    params["task"]["classes"] = [{"name": f"c{n}", "words": f"class number {n}"} for n in range(150)]
    params["score"]["teacher"].update(kind="similarity", templates=[{"class_text": "{class}"}])
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    texts = [text for _, text in tiny.sentences(2000)]
    columns = {"id": [text_id(text) for text in texts], "text": texts, "row": np.arange(2000)}
    write_table(tmp_path / "pool.parquet", pa.table(columns, schema=TEXTS))
    tiny.encoder(tmp_path / "teacher", "mean_tokens")
    assert peak(tmp_path, "score", "teacher", "pool.parquet", "teacher", "scores.parquet") < 2048
    scores = matrix(pq.read_table(tmp_path / "scores.parquet")["score"])
    assert scores.shape == (2000, 150) and np.isfinite(scores).all()


def test_score_takes_hardly_more_for_ten_times_the_texts(tmp_path):
    """Of many lengths: a kernel that was compiled for the shape of one batch is not kept for good."""
    import pyarrow as pa

    sampling.write_params(tmp_path)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    params["score"]["teacher"].update(kind="similarity", templates=[{"class_text": "It is {class}."}])
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    tiny.encoder(tmp_path / "teacher", "mean_tokens")
    whole = [text for _, text in tiny.sentences(10_000)]
    peaks = []
    for texts in (whole[::10], whole):
        columns = {"id": [text_id(text) for text in texts], "text": texts, "row": np.arange(len(texts))}
        write_table(tmp_path / "pool.parquet", pa.table(columns, schema=TEXTS))
        peaks.append(peak(tmp_path, "score", "teacher", "pool.parquet", "teacher", "scores.parquet"))
    assert peaks[1] < 1.1 * peaks[0], peaks


def test_sample_keeps_no_text_that_is_not_drawn(tmp_path):
    """Ten times the rows may cost the arrays of their ids (40 bytes each), not their texts."""
    peaks = []
    for rows in (30_000, 300_000):
        folder = tmp_path / str(rows)
        (folder / "data/raw").mkdir(parents=True)
        with (folder / "data/raw/a.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerows([f"{'a long enough text ' * 20} number {row}"] for row in range(rows))
        sampling.write_params(folder, pool=1000, test=200)
        answers = [f"data/{name}_labels.csv" for name in ("dev", "test")]
        for path in answers:
            (folder / path).write_text("id,text,label\n", encoding="utf-8")
        peaks.append(peak(folder, "sample", "data/raw", *answers, "data", "metrics/sample.json"))
    assert peaks[1] - peaks[0] < 270_000 * 200 / 2**20, peaks
