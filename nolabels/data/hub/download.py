"""Files of one commit of the hub: listed, downloaded, compared with what the commit promises, and noted."""

import glob
import hashlib
import shutil
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.hub.errors import attempt, token

NOTE = "hub.yaml"  # beside the asset: from which commit it came
HASH = "sha256"


def look(asset, kind, name):
    """The commit that the revision stands for, and its files: {path: huggingface_hub.RepoFile}."""
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # a warning of the library shows addresses that let one in
    api = HfApi(token=token())

    def ask():
        commit = api.repo_info(asset.hub, repo_type=kind, revision=asset.revision).sha
        tree = api.list_repo_tree(asset.hub, repo_type=kind, revision=commit, recursive=True)
        return commit, {item.path: item for item in tree if isinstance(item, RepoFile)}

    commit, tree = attempt(asset, kind, name, ask)
    for path in asset.files:
        if path not in tree:
            some = ", ".join(sorted(tree)[:8])
            raise UserError(f"params.yaml: {name}.files: {path} must be in {asset.hub}, found {some}")
    return commit, tree


def download(asset, kind, name, commit, files, folder):
    """Files of one commit into a folder, which holds nothing else then; returns {path: sha256}.

    files: {path: RepoFile}. Each is compared with what the commit promises: SHA-256 of a large file,
    Git's own sum of a small one, and the sums in `asset.files`. A broken connection is taken up
    where it broke.
    """
    from huggingface_hub import snapshot_download

    attempt(
        asset,
        kind,
        name,
        lambda: snapshot_download(
            asset.hub,
            repo_type=kind,
            revision=commit,
            local_dir=folder,
            allow_patterns=[glob.escape(path) for path in files],
            token=token(),
            max_workers=4,
        ),
    )
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()  # of another model, from a run that was stopped
    sums = {}
    for path, promised in sorted(files.items()):
        place = folder / path
        if not place.is_file():
            raise UserError(f"{name}: {asset.hub} must have {path} at {commit}, found none")
        sums[path] = file_sum(place, HASH)
        if promised.lfs is not None:
            check(name, path, place, HASH, promised.lfs.sha256, sums[path])
        else:
            check(name, path, place, "Git's sum", promised.blob_id, file_sum(place, "git"))
        if path in asset.files:
            check(name, path, place, HASH, asset.files[path], sums[path])
    return sums


def check(name, path, place, what, promised, found):
    if found != promised:
        place.unlink()
        raise UserError(f"{name}: {what} of {path} must be {promised}, found {found}")


def file_sum(path, kind):
    """SHA-256 of a file, or the sum under which Git keeps it."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode()) if kind == "git" else hashlib.new(kind)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()


def note(folder, asset, commit, files):
    """hub.yaml: what the asset is, down to the bytes. No model's fingerprint counts it."""
    import yaml

    facts = {"hub": asset.hub, "revision": asset.revision, "commit": commit, "files": files}
    Path(folder, NOTE).write_text(yaml.safe_dump(facts, sort_keys=True), encoding="utf-8")
