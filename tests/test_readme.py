"""What README says twice agrees with what it was copied from."""

import re
from pathlib import Path

import pytest
import yaml

from tests import readme

TEXT = Path("README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["result", "dag"])
def test_generated_blocks_are_current(name):
    assert readme.block(name, readme.blocks()[name]) in TEXT, "run python -m tests.readme"


def test_each_command_is_one_line_that_makes_its_environment():
    lines = [line for line in TEXT.splitlines() if line.startswith("python3 -m venv .venv && ")]
    lines = [line for line in lines if "requirements" in line]
    assert len(lines) == 2
    assert lines[0].endswith("pip install -q -r requirements.txt && dvc repro")
    assert lines[1].endswith("pip install -q -r requirements-dev.txt && python -m pytest")


def test_the_torch_without_cuda_is_the_pinned_one():
    (given,) = re.findall(r"^pip install -q (torch==\S+) --index-url \S+/whl/cpu$", TEXT, flags=re.M)
    assert given in Path("requirements.txt").read_text(encoding="utf-8").splitlines()


def test_the_gate_installs_what_is_pinned_by_its_hash():
    lock = Path(".ci/requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w.-]+)==([\w.+]+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, flags=re.M))
    assert len(locked) == lock.count("==") > 100
    pinned = {}
    for name in (
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-ray.txt",
        "requirements-serve.txt",
    ):
        pinned |= re.findall(
            r"^([\w-]+)(?:\[\w+\])?==(\S+)", Path(name).read_text(encoding="utf-8"), flags=re.M
        )
    assert len(pinned) > 25
    for name, version in pinned.items():
        assert locked[name.replace("_", "-")].removesuffix("+cpu") == version, name


def test_parameters_named_in_the_table_exist():
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    sections = "task|fetch|sample|score|label|select|train|export|runtime"
    named = re.findall(rf"`({sections})\.(\w+)", TEXT)
    assert len(named) >= 8
    for section, key in named:
        assert key in params[section], f"{section}.{key}"


def test_files_named_in_the_tree_exist():
    tree = TEXT.split("## What is where")[1].split("```")[1]
    for line in tree.strip().splitlines():
        for name in re.split(r"\s{2,}", line)[0].split(", "):
            assert Path(name).exists(), name
