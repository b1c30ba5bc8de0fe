"""Models of the hub: weights, configuration and tokenizer, as one folder of safetensors or GGUF."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from nolabels.core.params import HubModel
from nolabels.core.stage import UserError
from nolabels.data.hub.download import download, resolve, write_note
from nolabels.data.hub.pickles import convert, convert_index

# what a model folder needs beside its weights, at the top or in a module of sentence-transformers
FOLDER = r"(\d+_\w+/)?"
TEXTS = re.compile(FOLDER + r"[^/]+\.(json|txt|model|jinja)")
WEIGHTS = {
    "safetensors": re.compile(FOLDER + r"model(-\d+-of-\d+)?\.safetensors"),
    "pickle": re.compile(FOLDER + r"pytorch_model(-\d+-of-\d+)?\.bin"),
}


def take_model(asset: HubModel, name: str, folder: Path) -> str:
    """Downloads a model's weights, configuration and tokenizer.

    Pickled weights are read by torch's loader of tensors only and written as safetensors, so that no later stage
    meets a pickle.

    Parameters
    ----------
    asset : HubModel
        What to take.
    name : str
        Its key in params.yaml, for messages.
    folder : Path
        Where to. Files that are there from a run that was stopped and are the right ones are not asked for again.

    Returns
    -------
    str
        The commit.

    Raises
    ------
    UserError
        Where the hub does not give the model, or a file is not what the commit promises.
    """
    commit, tree = resolve(asset, "model", name)
    names = _choose_files(tree, asset.weights, name, asset.hub)
    sums = download(asset, "model", name, commit, {path: tree[path] for path in names}, Path(folder))
    if asset.weights == "pickle":
        for path in names:
            if WEIGHTS["pickle"].fullmatch(path):
                convert(Path(folder, path), name)
            elif path.endswith("pytorch_model.bin.index.json"):
                convert_index(Path(folder, path))
    write_note(folder, asset, commit, sums)
    return commit


def _choose_files(tree: Collection[str], weights: str, name: str, hub: str) -> list[str]:
    """The paths that a model folder needs, sorted. weights: safetensors, pickle or a GGUF file's name.

    The same weights in other forms (onnx, tf, flax, openvino) are left where they are.
    """
    if weights.endswith(".gguf"):
        chosen = [path for path in tree if path == weights]
    else:
        chosen = [path for path in tree if WEIGHTS[weights].fullmatch(path)]
    if all("/" in path for path in chosen):  # a module's weights alone are no model
        _refuse_weights(tree, weights, name, hub)
    texts = [path for path in tree if TEXTS.fullmatch(path) and not _is_other_index(path, weights)]
    if "config.json" not in texts and not weights.endswith(".gguf"):
        raise UserError(f"{name}: {hub} must have a config.json, found {', '.join(sorted(tree)[:8])}")
    return sorted({*chosen, *texts})


def _refuse_weights(tree: Collection[str], weights: str, name: str, hub: str) -> NoReturn:
    """Raises UserError with the weights that the hub has, and how to take those."""
    others = [path for path in tree if path.endswith((".safetensors", ".bin", ".gguf")) and "/" not in path]
    hint = ""
    if any(WEIGHTS["pickle"].fullmatch(path) for path in others):
        hint = "; weights: pickle takes those, or revision: refs/pr/N where safetensors are proposed"
    raise UserError(
        f"params.yaml: {name}.weights: {hub} must have {weights} weights, "
        f"found {', '.join(sorted(others)) or 'none'}{hint}"
    )


def _is_other_index(path: str, weights: str) -> bool:
    """Whether a file lists the shards of weights in another form."""
    own = {"safetensors": "model.safetensors.index.json", "pickle": "pytorch_model.bin.index.json"}
    return path.endswith(".index.json") and Path(path).name != own.get(weights)
