"""Files of one commit of the hub: listed, downloaded, compared with what the commit promises, and noted."""

import glob
import hashlib
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nolabels.core.stage import UserError
from nolabels.data.hub.errors import Asset, attempt, token

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

NOTE = "hub.yaml"  # beside the asset: from which commit it came
HASH = "sha256"


def resolve(asset: Asset, kind: str, name: str) -> tuple[str, dict[str, "RepoFile"]]:
    """The commit that the revision of an asset stands for, and the files of the commit.

    Parameters
    ----------
    asset : HubModel or HubDataset
        What is wanted.
    kind : str
        model or dataset.
    name : str
        Its key in params.yaml, for messages.

    Returns
    -------
    tuple of (str, dict)
        The commit, and {path: RepoFile}.

    Raises
    ------
    UserError
        Where the hub does not give them, or a file of `asset.files` is not there.
    """
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # a warning of the library shows addresses that let one in
    api = HfApi(token=token())

    def request():
        commit = api.repo_info(asset.hub, repo_type=kind, revision=asset.revision).sha
        tree = api.list_repo_tree(asset.hub, repo_type=kind, revision=commit, recursive=True)
        return commit, {item.path: item for item in tree if isinstance(item, RepoFile)}

    commit, tree = attempt(asset, kind, name, request)
    for path in asset.files:
        if path not in tree:
            some = ", ".join(sorted(tree)[:8])
            raise UserError(f"params.yaml: {name}.files: {path} must be in {asset.hub}, found {some}")
    return commit, tree


def download(
    asset: Asset,
    kind: str,
    name: str,
    commit: str,
    files: Mapping[str, "RepoFile"],
    folder: Path,
) -> dict[str, str]:
    """Downloads files of one commit into a folder, and compares each with what the commit promises.

    huggingface_hub transfers them, and takes a broken connection up where it broke; it does not compare sums.

    Parameters
    ----------
    asset : HubModel or HubDataset
        Where the files come from; `asset.files` has further SHA-256 to compare with.
    kind, name : str
        model or dataset; the asset's key in params.yaml, for messages.
    commit : str
    files : mapping
        {path: RepoFile}, as `resolve` gives them.
    folder : Path
        Where they go. Other files in it are removed.

    Returns
    -------
    dict
        {path: SHA-256}.

    Raises
    ------
    UserError
        Where the hub does not give a file, or a sum differs.
    """
    _transfer(asset, kind, name, commit, files.keys(), folder)
    sums = {}
    for path, promised in sorted(files.items()):
        file = folder / path
        if not file.is_file():
            raise UserError(f"{name}: {asset.hub} must have {path} at {commit}, found none")
        sums[path] = file_sum(file, HASH)
        if promised.lfs is not None:
            _check_sum(name, path, file, HASH, promised.lfs.sha256, sums[path])
        else:
            _check_sum(name, path, file, "Git's sum", promised.blob_id, file_sum(file, "git"))
        if path in asset.files:
            _check_sum(name, path, file, HASH, asset.files[path], sums[path])
    return sums


def _transfer(asset: Asset, kind: str, name: str, commit: str, paths: Collection[str], folder: Path) -> None:
    """Downloads the files of one commit into a folder, without huggingface_hub's cache of links, and removes others."""
    from huggingface_hub import snapshot_download

    def request():
        return snapshot_download(
            asset.hub,
            repo_type=kind,
            revision=commit,
            local_dir=folder,
            allow_patterns=[glob.escape(path) for path in paths],
            token=token(),
            max_workers=4,
        )

    attempt(asset, kind, name, request)
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in paths:
            path.unlink()  # of another model, from a run that was stopped


def _check_sum(name: str, path: str, file: Path, kind: str, promised: str, actual: str) -> None:
    """Removes a file with another sum than promised, so that the next run asks for it again, and raises UserError."""
    if actual != promised:
        file.unlink()
        raise UserError(f"{name}: {kind} of {path} must be {promised}, found {actual}")


def file_sum(path: Path, kind: str) -> str:
    """The sum of a file that the hub promises.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        sha256, or git: the SHA-1 under which Git keeps the file.

    Returns
    -------
    str
        Hex digits.
    """
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode()) if kind == "git" else hashlib.new(kind)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()


def write_note(folder: Path, asset: Asset, commit: str, files: Mapping[str, Any]) -> None:
    """Writes hub.yaml: what the asset is, down to the bytes. No model's fingerprint counts it.

    Parameters
    ----------
    folder : Path
        The asset's folder.
    asset : HubModel or HubDataset
        What it is.
    commit : str
        The commit that its revision stood for.
    files : mapping
        {path: SHA-256}, or {path: where it is made from}.
    """
    import yaml

    facts = {"hub": asset.hub, "revision": asset.revision, "commit": commit, "files": files}
    Path(folder, NOTE).write_text(yaml.safe_dump(facts, sort_keys=True), encoding="utf-8")
