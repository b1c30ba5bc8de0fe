"""Assets of the Hugging Face hub: taken at one commit, every file checked, no code of theirs run.

The hub is huggingface.co or what HF_ENDPOINT names. A token comes from HF_TOKEN alone.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from nolabels.core.stage import UserError, say

NOTE = "hub.yaml"  # beside the asset: from which commit it came
PARTS = ".hub"  # where a dataset's files lie until they have their names
PAUSES = (1, 2, 4)  # seconds before each further attempt
HASH = "sha256"

# what a model folder needs beside its weights, at the top or in a module of sentence-transformers
PLACE = r"(\d+_\w+/)?"
TEXTS = re.compile(PLACE + r"[^/]+\.(json|txt|model|jinja)")
WEIGHTS = {
    "safetensors": re.compile(PLACE + r"model(-\d+-of-\d+)?\.safetensors"),
    "pickle": re.compile(PLACE + r"pytorch_model(-\d+-of-\d+)?\.bin"),
}


def take_model(asset, name, folder):
    """Downloads a model's weights, configuration and tokenizer into `folder`; returns the commit.

    asset: params.HubModel; name: its key in params.yaml, for messages; folder: files that are there
    from a run that was stopped and are the right ones are not asked for again. Pickled weights are
    read by torch's loader of tensors only and written as safetensors, so that no later stage meets
    a pickle. Raises UserError where the model cannot be had or a file is not what was promised.
    """
    commit, tree = look(asset, "model", name)
    names = choose(tree, asset.weights, name, asset.hub)
    sums = download(asset, "model", name, commit, {path: tree[path] for path in names}, Path(folder))
    if asset.weights == "pickle":
        for path in names:
            if WEIGHTS["pickle"].fullmatch(path):
                convert(Path(folder, path), name)
            elif path.endswith("pytorch_model.bin.index.json"):
                convert_index(Path(folder, path))
    note(folder, asset, commit, sums)
    return commit


def take_dataset(asset, name, folder):
    """Downloads a dataset's splits as parquet files SPLIT-00000.parquet …; returns the commit.

    asset: params.HubDataset; else as `take_model`. Which files a split has is asked of `datasets`;
    parquet files are taken as they are, other forms are read by `datasets` and written as parquet.
    """
    folder = Path(folder)
    commit, tree = look(asset, "dataset", name)
    form, options, splits = attempt(asset, "dataset", name, lambda: split_files(asset, name, commit))
    wanted = {role: split for role, split in asset.splits.model_dump().items() if split is not None}
    for role, split in wanted.items():
        if split not in splits:
            raise UserError(
                f"params.yaml: {name}.splits.{role}: must be one of {', '.join(splits)}, found {split!r}"
            )
    paths = {role: splits[split] for role, split in wanted.items()}
    files = {path: tree[path] for role in paths for path in paths[role]}
    parts = folder / PARTS
    for path in folder.glob("*"):
        if path.is_file():
            path.unlink()
    sums = download(asset, "dataset", name, commit, files, parts)
    found = {}
    for role, sources in paths.items():
        if form == "parquet":
            for number, path in enumerate(sources):
                place = folder / f"{role}-{number:05}.parquet"
                shutil.copyfile(parts / path, place)  # a split may be named twice
                found[place.name] = {"from": path, HASH: sums[path]}
        else:
            place = folder / f"{role}-00000.parquet"
            rewrite(form, options, [parts / path for path in sources], place, name)
            found[place.name] = {"from": {path: sums[path] for path in sources}}
    shutil.rmtree(parts)
    note(folder, asset, commit, found)
    return commit


def token():
    """HF_TOKEN, or False: then no token is sent, not even one that a login left on this machine."""
    return os.environ.get("HF_TOKEN") or False


def address():
    """The hub's address as a message may show it: no user, no password."""
    from huggingface_hub import constants

    parts = urlsplit(constants.ENDPOINT)
    return parts.hostname + (f":{parts.port}" if parts.port else "")


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


def choose(tree, weights, name, hub):
    """The paths that a model folder needs, sorted. weights: safetensors, pickle or a GGUF file's name.

    The same weights in other forms (onnx, tf, flax, openvino) are left where they are.
    """
    if weights.endswith(".gguf"):
        found = [weights] if weights in tree else []
    else:
        found = [path for path in tree if WEIGHTS[weights].fullmatch(path)]
        if not any("/" not in path for path in found):
            found = []
    if not found:
        others = [
            path for path in tree if path.endswith((".safetensors", ".bin", ".gguf")) and "/" not in path
        ]
        hint = ""
        if any(WEIGHTS["pickle"].fullmatch(path) for path in others):
            hint = "; weights: pickle takes those, or revision: refs/pr/N where safetensors are proposed"
        raise UserError(
            f"params.yaml: {name}.weights: {hub} must have {weights} weights, "
            f"found {', '.join(sorted(others)) or 'none'}{hint}"
        )
    texts = [path for path in tree if TEXTS.fullmatch(path) and not wrong_index(path, weights)]
    if "config.json" not in texts and not weights.endswith(".gguf"):
        raise UserError(f"{name}: {hub} must have a config.json, found {', '.join(sorted(tree)[:8])}")
    return sorted({*found, *texts})


def wrong_index(path, weights):
    """Whether it lists the shards of weights in another form."""
    own = {"safetensors": "model.safetensors.index.json", "pickle": "pytorch_model.bin.index.json"}.get(
        weights
    )
    return path.endswith(".index.json") and Path(path).name != own


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


def attempt(asset, kind, name, ask):
    """What `ask()` returns; asked again where the network may be better in a moment."""
    for pause in (*PAUSES, None):
        try:
            return ask()
        except UserError:
            raise
        except Exception as error:
            again, message = explain(error, asset, kind)
            if message is None:
                raise
            if not again or pause is None:
                # from None: what the library says may hold an address that lets one in
                raise UserError(f"{name}: {message}") from None
        say(f"fetch: {name}: {message}; asking again in {pause} s")
        time.sleep(pause)


def explain(error, asset, kind):
    """Whether to ask again, and what to tell; None for what is no matter of the hub."""
    from huggingface_hub import errors

    access = "with the token of HF_TOKEN" if token() else "without a token (HF_TOKEN is not set)"
    while isinstance(error, (errors.LocalEntryNotFoundError, errors.FileMetadataError)) and error.__cause__:
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return False, f"{asset.hub} is gated and refused {access}; ask for access on its page"
    if isinstance(error, errors.RevisionNotFoundError):
        return False, f"revision must be a branch, tag or commit of {asset.hub}, found {asset.revision!r}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return False, f"hub must name a {kind} of {address()}, found none called {asset.hub} {access}"
    if isinstance(error, errors.EntryNotFoundError) and status == 404:
        path = urlsplit(str(error.response.url)).path.split("/resolve/")[-1].split("/", 1)[-1]
        return False, f"{asset.hub} must have {path} at the revision, found none"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return False, f"{address()} must be asked, found HF_HUB_OFFLINE set"
    if status in (401, 403):
        return False, f"{asset.hub} refused access {access} (status {status})"
    if status is not None:
        return status >= 500 or status in (408, 429), f"{address()} answered with status {status}"
    if isinstance(error, (errors.HTTPError, ConnectionError, errors.LocalEntryNotFoundError)):
        return True, f"{address()} cannot be reached, or the connection broke ({type(error).__name__})"
    if isinstance(error, OSError) and "Consistency check failed" in str(error):
        return True, f"{address()} sent a file of another size than promised"
    return False, None


def note(folder, asset, commit, files):
    """hub.yaml: what the asset is, down to the bytes. No model's fingerprint counts it."""
    import yaml

    facts = {"hub": asset.hub, "revision": asset.revision, "commit": commit, "files": files}
    Path(folder, NOTE).write_text(yaml.safe_dump(facts, sort_keys=True), encoding="utf-8")


def convert(path, name):
    """pytorch_model.bin -> model.safetensors beside it, by torch's loader that builds tensors only."""
    import pickle
    import warnings

    import torch
    from safetensors.torch import save_file

    try:
        with warnings.catch_warnings(action="ignore"):
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        # torch's own words advise to load it all the same
        found = re.search(r"GLOBAL (\S+)", str(error))
        found = found[1] if found else "something else"
        raise UserError(f"{name}: {path.name} must hold tensors and nothing else, found {found}") from error
    wrong = [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if wrong:
        raise UserError(f"{name}: {path.name} must hold tensors and nothing else, found {wrong[0]}")
    # copies: tensors that share memory cannot be written, and the model ties its own again
    tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(tensors, renamed(path), metadata={"format": "pt"})
    path.unlink()


def convert_index(path):
    """The list of shards, with their new names."""
    index = json.loads(path.read_text(encoding="utf-8"))
    index["weight_map"] = {key: renamed(Path(shard)).name for key, shard in index["weight_map"].items()}
    path.with_name("model.safetensors.index.json").write_text(
        json.dumps(index, indent=2, sort_keys=True), encoding="utf-8"
    )
    path.unlink()


def renamed(path):
    return path.with_name(path.name.replace("pytorch_model", "model").replace(".bin", ".safetensors"))


def split_files(asset, name, commit):
    """The form of a dataset's files, how they are read, and {split: paths}, as `datasets` finds them."""
    import dataclasses

    import datasets

    with tempfile.TemporaryDirectory() as cache:
        try:
            builder = datasets.load_dataset_builder(
                asset.hub, asset.config, revision=commit, token=token(), cache_dir=cache
            )
        except (ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            if explain(error, asset, "dataset")[1]:
                raise
            reason = str(error).strip().split("\n")[0][:300]
            raise UserError(
                f"params.yaml: {name}.config: must be one that datasets can read ({reason})"
            ) from None
        except FileNotFoundError as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            raise
    base = {field.name for field in dataclasses.fields(datasets.BuilderConfig)}
    options = {
        field.name: getattr(builder.config, field.name)
        for field in dataclasses.fields(builder.config)
        if field.name not in base and field.name != "features"
    }
    splits = {
        str(split): [url.split(f"@{commit}/", 1)[1] for url in urls]
        for split, urls in builder.config.data_files.items()
    }
    return type(builder).__module__.split(".")[-1], options, splits


def rewrite(form, options, paths, place, name):
    """Files of a form that `datasets` reads -> one parquet file; rows in the order of the files."""
    import datasets
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(dir=place.parent) as cache:
        try:
            rows = datasets.load_dataset(
                form, data_files=[str(path) for path in paths], split="train", cache_dir=cache, **options
            )
        except datasets.exceptions.DatasetGenerationError as error:
            reason = str(error.__cause__ or error).split("\n")[0][:300]
            raise UserError(
                f"{name}: {paths[0].name} must be a file that datasets can read ({reason})"
            ) from error
        rows = rows.with_format("arrow")
        schema = rows.features.arrow_schema.remove_metadata()
        with pq.ParquetWriter(place, schema, compression="zstd") as writer:
            for table in rows.iter(batch_size=16_384):
                writer.write_table(table.cast(schema))
