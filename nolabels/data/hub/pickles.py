"""Pickled weights as safetensors, so that no later stage meets a pickle."""

import json
import re
from pathlib import Path

from nolabels.core.stage import UserError


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
