"""The environment of the tests, set before any library is imported: offline, quiet, no stray threads."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest

from tests import tiny, workspace


@pytest.fixture(scope="session")
def causal_folder(tmp_path_factory):
    return tiny.causal_model(tmp_path_factory.mktemp("models") / "causal")


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    return tiny.base_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    """A local package index with a tiny data set, a tiny teacher and two tiny bases."""
    return workspace.make_index(tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory, index):
    """A copy of the project with small sizes and tiny models, after one whole `dvc repro`. Never changed."""
    found = workspace.Workspace.make(tmp_path_factory.mktemp("finished") / "project", index)
    found.repro()
    found.git("add", "-A")
    found.git("commit", "-qm", "A finished run")
    return found


@pytest.fixture
def project(finished, tmp_path):
    """A finished project of one's own to change."""
    return finished.copy(tmp_path / "project")
