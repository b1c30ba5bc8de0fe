"""The student on a model hub: what is sent, and each way in which it is refused, against a hub on loopback."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nolabels.data.hub import errors
from nolabels.students import predict
from stages import export
from tests import hub, tiny

pytestmark = pytest.mark.slow  # DVC makes the project, and each command is a process

ROOT = Path(__file__).parent.parent
NAME = "somebody/reviews"
CARD = """---
license: apache-2.0
library_name: onnxruntime
pipeline_tag: text-classification
tags:
- text-classification
- onnx
---
# negative / positive: a classifier without labels

A text classifier with the classes negative, positive, as ONNX. `predict.py` beside this file runs it.

## How it was made

A teacher labeled texts.
"""
STAGES = """stages:
  train:
    cmd: cp -r made/student models/student
    outs: [models/student]
  export:
    cmd: cp made/onnx/* models/student-onnx
    outs: [models/student-onnx/classes.json, models/student-onnx/model.onnx, models/student-onnx/predict.py,
           models/student-onnx/tokenizer.json, models/student-onnx/README.md]
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A project of DVC's with a student that dvc.lock records. Never changed."""
    root = tmp_path_factory.mktemp("recorded")
    tiny.student(root / "made/student")
    export.write_model(root / "made/student", root / "made/onnx", "float32")
    (root / "made/onnx/README.md").write_text(CARD, encoding="utf-8")
    (root / "models/student-onnx").mkdir(parents=True)
    (root / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for words in (["init", "-q"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True, env=environment(root))
    assert (root / "models/student-onnx/model.onnx").stat().st_size > hub.LARGE
    return root


@pytest.fixture
def project(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


@pytest.fixture
def served():
    with hub.serve() as server:
        yield server


def environment(root, **more):
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "DVC_")) and name.lower() not in ("http_proxy", "all_proxy")
    }
    own = {
        name: str(root.parent / "dvc")
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")
    }
    own |= {
        "DVC_NO_ANALYTICS": "1",
        "PYTHONPATH": str(ROOT),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(root.parent / "home"),
    }
    return kept | own | {"OMP_NUM_THREADS": "1"} | more


def publish(project, url, *words, token=hub.TOKEN, **more):
    """(exit code, standard output, standard error) of the command."""
    more |= {"HF_ENDPOINT": url} | ({"HF_TOKEN": token} if token else {})
    ended = subprocess.run(
        [sys.executable, "-m", "nolabels.publish", *words],
        cwd=project,
        env=environment(project, **more),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return ended.returncode, ended.stdout, ended.stderr


def refused(result):
    """The message of a command that ended with one line."""
    code, out, error = result
    assert code == 1 and out == "" and error.startswith("error: ") and error.count("\n") == 1, out + error
    return error.removeprefix("error: ").strip()


def wanted(project):
    """{path in the repository: bytes}, the card aside."""
    files = hub.contents(project / "models/student")
    return files | {
        f"onnx/{path}": content for path, content in hub.contents(project / "models/student-onnx").items()
    }


def download(url, folder, commit):
    """What the project's own code takes of the repository, in a process that asks this hub."""
    code = (
        "import sys; from types import SimpleNamespace; from nolabels.data.hub import download\n"
        f"asset = SimpleNamespace(hub={NAME!r}, revision={commit!r}, files={{}})\n"
        "commit, tree = download.resolve(asset, 'model', 'test')\n"
        "download.download(asset, 'model', 'test', commit, tree, __import__('pathlib').Path(sys.argv[1]))\n"
    )
    more = environment(folder, HF_ENDPOINT=url, HF_TOKEN=hub.TOKEN)
    subprocess.run([sys.executable, "-c", code, folder], check=True, cwd=ROOT, env=more)
    return hub.contents(folder)


def test_what_is_published_comes_back_byte_for_byte_and_works(project, served, tmp_path):
    code, out, error = publish(project, served.url, NAME)
    assert code == 0, error
    commit = hub.commit_id("model", NAME, 1)
    address = served.url.removeprefix("http://")
    assert re.fullmatch(rf"publish: {address}/{NAME} at {commit}: \d+ files, [\d.]+ MB, private\n", out)
    repository = served.repositories["model", NAME]
    assert repository.private and len(repository.commits) == 2  # the empty one, and all files in one
    got = download(served.url, tmp_path / "got", commit)
    card = got.pop("README.md").decode()
    expected = wanted(project)
    assert got == {path: content for path, content in expected.items() if path != "README.md"}
    assert got["onnx/README.md"] == CARD.encode()
    assert (
        f'model="{NAME}"' in card
        and card.endswith(CARD.partition("## How")[2])
        and "models/student" not in card
    )
    assert "library_name: transformers" in card and "license: apache-2.0" in card
    model = predict.Model(tmp_path / "got/onnx", 1)
    assert model.predict(["A warm film."])[0] in ("negative", "positive")
    from transformers import pipeline

    (answer,) = pipeline("text-classification", model=str(tmp_path / "got"))("A warm film.")
    np.testing.assert_allclose(answer["score"], model.predict_proba(["A warm film."]).max(), atol=0.1)
    uploads = [path for method, path, _, with_token in served.asked if method == "PUT" and not with_token]
    assert len(uploads) == len([content for content in expected.values() if len(content) > hub.LARGE])


def test_a_second_time_it_is_a_commit_more(project, served):
    for number in (1, 2):
        code, _, error = publish(project, served.url, NAME, "--revision", "next")
        assert code == 0, error
        repository = served.repositories["model", NAME]
        assert repository.refs == {"main": 0, "next": number}
    assert len([path for method, path, *_ in served.asked if method == "PUT"]) == len(
        served.sent
    )  # not sent again


def test_public_is_said_and_never_changed(project, served):
    assert publish(project, served.url, NAME, "--public")[0] == 0
    assert not served.repositories["model", NAME].private
    assert refused(publish(project, served.url, NAME)) == (
        f"{NAME}: must be private without --public, found it public; its page on the hub changes that"
    )
    served.add("model", "somebody/else", {}, private=True)
    assert refused(publish(project, served.url, "somebody/else", "--public")) == (
        "somebody/else: must be public, as --public says, found it private; its page on the hub changes that"
    )
    assert served.repositories["model", "somebody/else"].commits == [{}]


def test_a_dry_run_lists_all_and_sends_nothing(project, served):
    code, out, error = publish(project, served.url, NAME, "--dry-run", token=None)
    assert code == 0 and error == "" and served.asked == []
    *lines, last = out.splitlines()
    sizes = {line.split(f"{NAME}/")[1]: int(line.split()[0].replace(",", "")) for line in lines}
    expected = {path: len(content) for path, content in wanted(project).items()}
    assert set(sizes) == set(expected) | {"README.md"}
    assert {path: size for path, size in sizes.items() if path != "README.md"} == {
        path: size for path, size in expected.items() if path != "README.md"
    }
    assert re.fullmatch(
        rf"publish: nothing was sent; {len(sizes)} files, [\d.]+ MB, private, branch main", last
    )


def spoil(project, what):
    """Changes the project so that its student must not be published."""
    model = project / "models/student-onnx/model.onnx"
    if what == "no ONNX":
        model.unlink()
    elif what == "no student":
        shutil.rmtree(project / "models/student")
    elif what == "no card":
        (project / "models/student-onnx/README.md").unlink()
    elif what == "another ONNX":
        content = model.read_bytes()
        model.unlink()
        model.write_bytes(content + b" ")
    elif what == "another student":
        (project / "models/student/more.json").write_text("{}")
    elif what == "no lock":
        (project / "dvc.lock").unlink()
    elif what == "another lock":
        text = (project / "dvc.lock").read_text()
        (project / "dvc.lock").write_text(
            re.sub(
                r"(path: models/student-onnx/classes.json\n.*?md5: )\w+",
                r"\g<1>" + "a" * 32,
                text,
                flags=re.S,
            )
        )


STALE = "must be as dvc.lock records it, found another one; run dvc repro, then publish"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no ONNX", "models/student-onnx: must hold the student as ONNX, found no model.onnx; run dvc repro"),
        ("no student", "models/student/config.json: must be there, found nothing; run dvc repro train"),
        ("no card", "models/student-onnx/README.md: must hold the student's card, found nothing; run dvc repro report"),
        ("another ONNX", f"models/student-onnx/model.onnx: {STALE}"),
        ("another student", f"models/student/: {STALE}"),
        ("no lock", f"models/student-onnx/README.md: {STALE}"),
        ("another lock", f"models/student-onnx/classes.json: {STALE}"),
    ],
)  # fmt: skip
def test_a_student_that_is_not_the_recorded_one_stays(project, served, what, message):
    spoil(project, what)
    for words in ((NAME,), (NAME, "--dry-run")):
        assert refused(publish(project, served.url, *words)) == message
    assert served.asked == []


def test_without_a_token_nothing_is_asked(project, served):
    message = f"HF_TOKEN: must hold a token that may write to {NAME}, found none"
    (project.parent / "home").mkdir()
    (project.parent / "home/token").write_text(hub.TOKEN)  # of a login: not taken
    assert refused(publish(project, served.url, NAME, token=None)) == message
    assert served.asked == []


@pytest.mark.parametrize("name", ["reviews", "a/b/c", "some body/reviews", "somebody/-", "../x"])
def test_a_name_that_is_none(project, served, name):
    message = f"OWNER/NAME: must be two names of letters, digits, -, _ and ., found {name!r}"
    assert refused(publish(project, served.url, name, "--dry-run")) == message


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("token", "refused access with the token of HF_TOKEN (status 401)"),
        ("status", "refused access with the token of HF_TOKEN (status 403)"),
        ("offline", "must be asked, found HF_HUB_OFFLINE set"),
        ("nobody", "cannot be reached, or the connection broke"),
    ],
)
def test_a_hub_that_refuses_is_told_in_one_line(project, served, fault, message):
    served.faults.status = [403] if fault == "status" else []
    more = {"HF_HUB_OFFLINE": "1"} if fault == "offline" else {}
    url = "http://127.0.0.1:9" if fault == "nobody" else served.url
    said = refused(publish(project, url, NAME, token="hf_wrong" if fault == "token" else hub.TOKEN, **more))
    assert said.startswith("publish: ") and message in said and hub.TOKEN not in said
    assert served.repositories == {}


def test_an_address_without_a_host_is_named_in_a_message(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "hub.example")
    assert errors.address() == "HF_ENDPOINT (which names no host)"


def test_a_hub_without_xet_is_told_in_one_line(project, served):
    said = refused(publish(project, served.url, NAME, HF_HUB_DISABLE_XET="0"))
    assert said.startswith("publish: ") and said.endswith("; a hub without Xet needs HF_HUB_DISABLE_XET=1")
    assert served.repositories["model", NAME].commits == [{}]


def test_what_arrives_changed_is_told(project, served, monkeypatch):
    """The hub keeps another file than was sent: the listing after the commit shows it."""
    original = hub.listed

    def listed(path, content):
        return original(path, content + b" " if path == "onnx/classes.json" else content)

    monkeypatch.setattr(hub, "listed", listed)  # the hub answers in a thread of this process
    said = refused(publish(project, served.url, NAME))
    assert re.fullmatch(
        rf"{NAME}: onnx/classes.json must be at [0-9a-f]{{40}} as it was sent, found another file", said
    )
