"""From token states to one embedding, as a sentence-transformers folder describes it."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from nolabels.core.stage import UserError


def pool_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """B x D: the mean of the tokens.

    Parameters
    ----------
    states : torch.Tensor, B x L x D
        Of the tokens.
    mask : torch.Tensor, B x L
        1 for a token, 0 for padding.
    """
    weight = mask[..., None].float()
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


def _pool_first(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """B x D: the first token."""
    return states[:, 0]


def pool_last(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """B x D: the last token that is no padding.

    Parameters
    ----------
    states, mask
        See pool_mean.
    """
    return states[torch.arange(len(states)), mask.sum(1).clamp(min=1) - 1]


def normalize(states: torch.Tensor) -> torch.Tensor:
    """B x D embeddings at length 1."""
    return torch.nn.functional.normalize(states, dim=-1)


POOLS = {"mean": pool_mean, "cls": _pool_first, "lasttoken": pool_last}


def read_steps(folder: Path) -> list[Callable] | None:
    """What a sentence-transformers folder does behind the token states: pooling, then B x D -> B x D.

    None where it has no modules.json. Raises UserError where a step is not one of Pooling (mean, cls,
    lasttoken), Dense and Normalize.
    """
    path = folder / "modules.json"
    if not path.exists():
        return None
    steps: list[Callable] = []
    for module in json.loads(path.read_text(encoding="utf-8")):
        name, own = module["type"].split(".")[-1], folder / module["path"]
        if name == "Transformer" and not steps:
            continue
        if name == "Pooling" and not steps:
            steps.append(POOLS[_read_pooling(own / "config.json")])
        elif name == "Dense" and steps:
            steps.append(_read_dense(own))
        elif name == "Normalize" and steps:
            steps.append(normalize)
        else:
            raise UserError(f"{path}: must name Transformer, Pooling, Dense and Normalize, found {name}")
    return steps or [pool_mean]


def _read_pooling(path: Path) -> str:
    """mean, cls or lasttoken, from a Pooling's config.json (one flag a mode, or `pooling_mode`)."""
    config = json.loads(path.read_text(encoding="utf-8"))
    mode = config.get("pooling_mode")
    flags = {"mean_tokens": "mean", "cls_token": "cls"}
    on = [name.removeprefix("pooling_mode_") for name, value in config.items() if value is True]
    modes = (
        [mode] if isinstance(mode, str) else mode or [flags.get(n, n) for n in on if n != "include_prompt"]
    )
    if len(modes) != 1 or modes[0] not in POOLS:
        raise UserError(f"{path}: pooling must be mean, cls or lasttoken, found {', '.join(modes) or 'none'}")
    return modes[0]


def _read_dense(folder: Path) -> Callable:
    """A linear layer with its activation, B x D -> B x E."""
    import safetensors.torch

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = config["activation_function"].split(".")[-1]
    if name not in ("Identity", "Tanh"):
        raise UserError(f"{folder}/config.json: activation must be Identity or Tanh, found {name}")
    if not (folder / "model.safetensors").exists():
        raise UserError(f"{folder}: must hold its weights as model.safetensors")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weight, bias = weights["linear.weight"].float(), weights.get("linear.bias")

    def step(states: torch.Tensor) -> torch.Tensor:
        projected = torch.nn.functional.linear(
            states, weight.to(states.device), None if bias is None else bias.float().to(states.device)
        )
        return projected.tanh() if name == "Tanh" else projected

    return step
