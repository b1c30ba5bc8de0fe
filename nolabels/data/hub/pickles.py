"""Pickled weights as safetensors, so that no later stage meets a pickle."""

import json
import re
from pathlib import Path

from nolabels.core.stage import UserError


def convert(path: Path, name: str) -> None:
    """Replaces pytorch_model.bin by model.safetensors; torch's loader of tensors only reads it.

    Parameters
    ----------
    path : Path
        The pickle.
    name : str
        The asset's key in params.yaml, for messages.

    Raises
    ------
    UserError
        Where it holds something else than tensors.
    """
    import pickle
    import warnings

    import torch
    from safetensors.torch import save_file

    try:
        with warnings.catch_warnings(action="ignore"):
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        # torch's own words advise to load it all the same
        match = re.search(r"GLOBAL (\S+)", str(error))
        content = match[1] if match else "something else"
        raise UserError(f"{name}: {path.name} must hold tensors and nothing else, found {content}") from error
    wrong = [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if wrong:
        raise UserError(f"{name}: {path.name} must hold tensors and nothing else, found {wrong[0]}")
    # copies: tensors that share memory cannot be written, and the model ties its own again
    tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(tensors, _renamed(path), metadata={"format": "pt"})
    path.unlink()


def convert_index(path: Path) -> None:
    """Replaces the list of shards by one with their new names."""
    index = json.loads(path.read_text(encoding="utf-8"))
    index["weight_map"] = {key: _renamed(Path(shard)).name for key, shard in index["weight_map"].items()}
    path.with_name("model.safetensors.index.json").write_text(
        json.dumps(index, indent=2, sort_keys=True), encoding="utf-8"
    )
    path.unlink()


def _renamed(path: Path) -> Path:
    """The name under which transformers looks for the same weights as safetensors."""
    return path.with_name(path.name.replace("pytorch_model", "model").replace(".bin", ".safetensors"))
