"""The student on a model hub: which files, its card, and that they arrived whole."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from nolabels.core.params import HubModel
from nolabels.core.stage import UserError
from nolabels.data.hub import download, errors
from nolabels.students.student import facts

ONNX = "onnx"  # the folder of the ONNX form in the repository; the torch form is at the top, where transformers looks
CARD = "README.md"


@contextmanager
def package(student: Path, shipped: Path, repository: str) -> Iterator[dict[str, Path]]:
    """What is published; a context, since the card is made for it.

    Parameters
    ----------
    student, shipped : Path
        The folders that `train` and `export` wrote.
    repository : str
        OWNER/NAME.

    Yields
    ------
    dict
        {path in the repository: file here}, sorted.

    Raises
    ------
    UserError
        There is no student, or no card of it.
    """
    if not (shipped / "model.onnx").is_file():
        raise UserError(f"{shipped}: must hold the student as ONNX, found no model.onnx; run dvc repro")
    about = facts(student)
    files = {path.relative_to(student).as_posix(): path for path in student.rglob("*") if path.is_file()}
    files |= {
        f"{ONNX}/{path.relative_to(shipped).as_posix()}": path
        for path in shipped.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with tempfile.TemporaryDirectory() as folder:
        files[CARD] = Path(folder, CARD)
        files[CARD].write_text(card(shipped / CARD, repository, about), encoding="utf-8")
        yield dict(sorted(files.items()))


def card(path: Path, repository: str, about: dict) -> str:
    """The model card of the repository: that of the ONNX form, with how both forms are used. about: see `facts`."""
    from huggingface_hub import ModelCard, ModelCardData

    if not path.is_file():
        raise UserError(f"{path}: must hold the student's card, found nothing; run dvc repro report")
    known = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    cast(ModelCardData, known.data).library_name = "transformers"
    head, heading, rest = known.text.partition("\n## How it was made\n")
    if not heading:
        raise UserError(f"{path}: must have a section 'How it was made', found none; run dvc repro report")
    title = next(line for line in head.splitlines() if line.startswith("# "))
    several = "; a text may have several" if about["multi_label"] else ""
    return f"""---
{known.data.to_yaml()}
---
{title}

A text classifier with the classes {", ".join(about["classes"])}{several}:

```python
from transformers import pipeline

pipeline("text-classification", model="{repository}")("A text.")
```

`{ONNX}/` holds it as ONNX, which `predict.py` beside it runs; the figures below are those of that form:

```sh
hf download {repository} --include "{ONNX}/*" --local-dir model
pip install numpy onnxruntime tokenizers
python model/{ONNX}/predict.py texts.txt
```
{heading}{rest}"""


def check_recorded(*folders: Path) -> None:
    """Raises UserError where a file of the folders is not the one that dvc.lock records."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            status = repo.data_status(targets=[str(folder) for folder in folders], untracked_files="no")
    except DvcException as error:
        raise UserError(f"dvc.lock: must be readable, found {' '.join(str(error).split())}") from None
    changed = [path for kind in status["uncommitted"].values() for path in map(str, kind)]
    if changed:
        rule = "must be as dvc.lock records it, found another one; run dvc repro, then publish"
        raise UserError(f"{sorted(changed)[0]}: {rule}")


def push(repository: str, files: dict[str, Path], token: str, public: bool, revision: str) -> str:
    """Makes the repository where it is not there, and one commit with all files; until then nobody sees any.

    Parameters
    ----------
    repository : str
        OWNER/NAME.
    files : dict
        Of `package`.
    token : str
        Of the hub, for somebody who may write there.
    public : bool
        Whether everybody is to see the repository, when it is made.
    revision : str
        A branch, which is made where it is not there.

    Returns
    -------
    str
        The commit.

    Raises
    ------
    UserError
        The hub refuses, the repository is seen by others than asked, or what arrived is not what was sent.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # a warning of the library shows addresses that let one in
    api = HfApi(token=token)
    # not checked as one of params.yaml: the hub's own rules for a name are wider
    asset = HubModel.model_construct(hub=repository, revision=revision, weights="safetensors", files={})

    def send():
        api.create_repo(repository, private=not public, exist_ok=True)
        check_seen(repository, api.repo_info(repository).private, public)
        if revision != "main":
            api.create_branch(repository, branch=revision, exist_ok=True)
        adds = [CommitOperationAdd(path, str(file)) for path, file in files.items()]
        return api.create_commit(repository, adds, commit_message="Publish the student", revision=revision)

    commit = ask_hub(asset, send).oid
    asset = asset.model_copy(update={"revision": commit})
    _, tree = ask_hub(asset, lambda: download.resolve(asset, "model", "publish"))
    for path, file in files.items():
        if path not in tree or not same(tree[path], file):
            raise UserError(f"{repository}: {path} must be at {commit} as it was sent, found another file")
    return commit


def check_seen(repository: str, private: bool, public: bool) -> None:
    """Raises UserError where a repository that was there already is not seen by those who are to see it."""
    if private == public:
        rule, seen = (
            ("public, as --public says", "private") if public else ("private without --public", "public")
        )
        raise UserError(f"{repository}: must be {rule}, found it {seen}; its page on the hub changes that")


def same(there: Any, file: Path) -> bool:
    """Whether a file of a hub (huggingface_hub.RepoFile) is the one here."""
    if there.lfs is not None:
        return there.lfs.sha256 == download.file_sum(file, download.HASH)
    return there.blob_id == download.file_sum(file, "git")


def ask_hub(asset: HubModel, ask: Callable) -> Any:
    """What `ask()` returns; one line where the hub or the network is in the way."""
    try:
        return ask()
    except UserError:
        raise
    except Exception as error:
        while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
            error = error.__cause__  # of a thread that uploads
        message = errors.explain(error, asset, "model")[1]
        if message is None and isinstance(error, ValueError) and "README.md" in str(error):
            message = f"the hub takes no such card ({' '.join(str(error).split())[:200]})"
        if (
            isinstance(error, RuntimeError) or type(error) is ConnectionError
        ):  # of hf_xet, which has no other names
            message = f"{message or type(error).__name__}; a hub without Xet needs HF_HUB_DISABLE_XET=1"
        if message is None:
            raise
        raise UserError(f"publish: {message}") from None
