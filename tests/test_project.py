"""The files by which other tools know the project: pyproject.toml, CITATION.cff, CHANGELOG, the workflow, pre-commit."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load(Path("CITATION.cff").read_text(encoding="utf-8"))
CHANGELOG = Path("CHANGELOG.md").read_text(encoding="utf-8")
RELEASES = re.findall(r"^## (\d+\.\d+\.\d+) – (\d{4}-\d{2}-\d{2})$", CHANGELOG, flags=re.M)


def pins(path):
    """{package: version} of a requirements file."""
    text = Path(path).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)$", text, flags=re.M))


def test_the_project_s_metadata_can_be_built(tmp_path):
    """As pip builds it, without the network: the description is the README, and the packages are those that are pinned."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(name, tmp_path)
    code = "import setuptools.build_meta as b; print(b.prepare_metadata_for_build_wheel('made'))"
    (tmp_path / "made").mkdir()
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    (metadata,) = (tmp_path / "made").glob("*.dist-info/METADATA")
    head, _, body = metadata.read_text(encoding="utf-8").partition("\n\n")
    fields = [line.split(": ", 1) for line in head.splitlines() if re.match(r"[A-Z][\w-]+: ", line)]
    single = dict(fields)
    assert (single["Name"], single["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert (single["License-Expression"], single["License-File"]) == ("Apache-2.0", "LICENSE")
    assert single["Requires-Python"] == ">=3.11" and single["Author"] == "The Train without labels developers"
    needed = dict(value.split("==") for name, value in fields if name == "Requires-Dist")
    assert needed == pins("requirements.txt") and len(needed) > 20
    assert body.strip() == Path("README.md").read_text(encoding="utf-8").strip()


def test_the_citation_names_the_release():
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert {"message", "title", "authors"} <= set(CITATION)  # what the format requires
    assert all(set(author) == {"name"} for author in CITATION["authors"])  # an entity
    assert [author["name"] for author in CITATION["authors"]] == [one["name"] for one in PROJECT["authors"]]
    assert (CITATION["version"], CITATION["license"]) == (PROJECT["version"], PROJECT["license"])
    assert (CITATION["version"], CITATION["date-released"]) == RELEASES[0]


def test_releases_are_in_order_and_the_newest_is_the_version():
    assert RELEASES[0][0] == PROJECT["version"]
    versions = [tuple(map(int, version.split("."))) for version, _ in RELEASES]
    assert versions == sorted(versions, reverse=True)
    assert [date for _, date in RELEASES] == sorted((date for _, date in RELEASES), reverse=True)
    titles = re.findall(r"^## (.+)$", CHANGELOG, flags=re.M)
    assert [title for title in titles if title != "Unreleased"] == [" – ".join(one) for one in RELEASES]


def test_the_upgrade_notes_lead_to_keys_that_there_are():
    """The last key of each cell of the column `now`."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", CHANGELOG.split("### Upgrade")[1], flags=re.M)
    params = Path("params.yaml").read_text(encoding="utf-8")
    named = {name for _, now in rows for name in re.findall(r"`(?:\w+\.)*(\w+)(?:: \w+)?`", now)}
    values = {"truncate", "chunk"}  # of which one is not the shipped one
    missing = {
        name for name in named - {"null", "assistant"} if not re.search(rf"^\s*{name}:", params, flags=re.M)
    }
    assert missing <= values and values <= named and len(named) >= 10
    for value in values:
        assert re.search(rf"^\s*#.*\b{value}\b", params, flags=re.M)


@pytest.mark.parametrize("path", sorted(Path(".github/workflows").glob("*.yml")), ids=str)
def test_workflows_pin_their_actions_and_end_in_time(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow[True] and workflow["permissions"]  # YAML 1.1 reads `on` as yes
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]), step


def test_the_workflow_runs_the_gate():
    workflow = yaml.safe_load(Path(".github/workflows/ci.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] == 30
    (run,) = (step for step in job["steps"] if "run" in step)
    assert run["run"] == ".ci/run" and os.access(".ci/run", os.X_OK)
    (python,) = (step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert python["python-version"] == "3.11" and Path(python["cache-dependency-path"]).exists()
    # a version that the index does not have comes from where docs/faults.md says that torch comes from
    lock = Path(".ci/requirements.lock").read_text(encoding="utf-8")
    assert re.findall(r"^([\w-]+)==\S+\+cpu ", lock, flags=re.M) == ["torch"]
    assert run["env"]["PIP_EXTRA_INDEX_URL"] in Path("docs/faults.md").read_text(encoding="utf-8")


def test_pre_commit_runs_the_pinned_ruff_and_the_mypy_that_is_installed():
    repo, local = yaml.safe_load(Path(".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert (
        repo["repo"].endswith("/ruff-pre-commit")
        and repo["rev"] == f"v{pins('requirements-dev.txt')['ruff']}"
    )
    assert [hook["id"] for hook in repo["hooks"]] == ["ruff-check", "ruff-format"]
    assert local["repo"] == "local"
    assert [(hook["entry"], hook["language"]) for hook in local["hooks"]] == [("mypy", "system")]
