"""Assets of the Hugging Face hub: taken at one commit, every file checked, no code of theirs run.

The hub is huggingface.co or what HF_ENDPOINT names. A token comes from HF_TOKEN alone.
"""

import re
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.hub.download import download, look, note
from nolabels.data.hub.pickles import convert, convert_index

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
