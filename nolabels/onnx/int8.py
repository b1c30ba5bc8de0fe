"""Linear layers and embeddings of 8-bit integers, and what is done so that they lose little."""

from collections import Counter
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from nolabels.onnx.bert_encoder import norms_and_readers
from nolabels.onnx.operators import Int8Product

BLOCK = 32  # numbers of an embedding that share a scale
TINY = 1e-3  # a row of activations is never divided by less
CALIBRATION = (16, 32)  # texts of random tokens, and tokens in each, from which `smooth` reads ranges


def _quantize(weight: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """8-bit integers and the scale of each slice along `dim`; weight is about the first times the second."""
    scale = weight.abs().amax(dim, keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().to(torch.int8), scale


class Int8Linear(nn.Module):
    """A linear layer on 8-bit integers.

    Parameters
    ----------
    linear : torch.nn.Linear
        What it replaces.
    scale_tokens : bool
        Activations share one scale for a batch. This gives each token one of its own besides: behind an activation
        function a few tokens are ten times as large as the rest, which would be rounded away.
    signed : bool
        Whether a token's large numbers may be negative ones, which is not so behind an activation function.
    """

    def __init__(self, linear: nn.Linear, scale_tokens: bool, signed: bool):
        super().__init__()
        weight, scale = _quantize(linear.weight.data.t().contiguous(), 0)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale[0].clone())
        self.register_buffer("bias", None if linear.bias is None else linear.bias.data)
        self.scale_tokens, self.signed = scale_tokens, signed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """... x inputs -> ... x outputs."""
        if not self.scale_tokens:
            return Int8Product.apply(x, self.weight, self.scale, self.bias)
        largest = (x.abs() if self.signed else x).amax(-1, keepdim=True).clamp(min=TINY)
        product = Int8Product.apply(x / largest, self.weight, self.scale, None) * largest
        return product if self.bias is None else product + self.bias


class Int8Embedding(nn.Module):
    """A table of embeddings as 8-bit integers, with a scale for each 32 numbers of a row."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, embedding: nn.Embedding):
        super().__init__()
        table = embedding.weight.data
        block = BLOCK if table.shape[1] % BLOCK == 0 else table.shape[1]
        weight, scale = _quantize(table.unflatten(1, (-1, block)), 2)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.padding_idx = embedding.padding_idx  # RoBERTa counts positions from it

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids -> their embeddings."""
        return (self.weight[ids].float() * self.scale[ids]).flatten(-2)


def to_int8(model: PreTrainedModel, layers: set[nn.Linear], every_layer: bool) -> None:
    """Replaces some linear layers and the table of words, in place.

    Other tables stay: they are small, and some are no table, as DeBERTa's of relative positions.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A sequence classifier.
    layers : set of torch.nn.Linear
        Its layers that are to be replaced.
    every_layer : bool
        Whether each gives tokens scales of their own, and not those alone that stand behind an activation function.
    """
    model.set_input_embeddings(Int8Embedding(cast(nn.Embedding, model.get_input_embeddings())))
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if child in layers:
                scaled = every_layer or child.in_features > child.out_features
                setattr(parent, name, Int8Linear(child, scaled, signed=every_layer))


def layers_used_once(model: PreTrainedModel, ids: torch.Tensor) -> set[nn.Linear]:
    """The linear layers that a text goes through once, but not the last one, of K classes.

    What it goes through several times stays float32: onnxruntime cannot convert weights that stand
    in two places, as it must for processors whose 8-bit products overflow (see predict.py).

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A sequence classifier.
    ids : torch.Tensor, texts x tokens
        Any token ids.
    """
    calls: Counter[nn.Module] = Counter()
    handles = []
    for module in model.modules():
        if type(module) is nn.Linear and module.out_features != model.config.num_labels:
            handles.append(module.register_forward_hook(lambda module, *_: calls.update([module])))
    with torch.inference_mode():
        model(input_ids=ids)
    for handle in handles:
        handle.remove()
    return {module for module, count in calls.items() if count == 1 and isinstance(module, nn.Linear)}


def calibration_ids(model: PreTrainedModel, around: list[int]) -> torch.Tensor:
    """Random tokens, the same each time, between those that the tokenizer adds.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A sequence classifier.
    around : list of int
        Token ids of the empty text.

    Returns
    -------
    torch.Tensor, texts x tokens, int64
        See CALIBRATION.
    """
    texts, tokens = CALIBRATION
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (texts, tokens), generator=draw)
    first, last = (
        torch.tensor(part, dtype=torch.int64).expand(texts, -1) for part in (around[:1], around[1:])
    )
    return torch.cat([first, ids, last], 1)


def smooth(model: PreTrainedModel, around: list[int]) -> list[torch.Tensor]:
    """Makes the channels of activations alike, in place.

    A few channels behind a layer norm are ten times as large as the rest, which 8 bits with one scale
    for all would round away. A channel divided by s and its weights multiplied by s give the same sum;
    s as in SmoothQuant (Xiao et al. 2023), migration strength 0.7. Ranges are read from random tokens,
    since the large channels are the model's, whatever it reads.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        On an encoder that is built like BERT.
    around : list of int
        Token ids of the empty text.

    Returns
    -------
    list of torch.Tensor
        What the output of each norm but the last was divided by, for bert_encoder.Encoder.
    """
    largest, handles = {}, []
    for norm, readers in norms_and_readers(model):
        if norm is not None:
            handles.append(
                readers[0].register_forward_pre_hook(
                    lambda module, inputs: largest.update({module: inputs[0].abs().flatten(0, -2).amax(0)})
                )
            )
    with torch.inference_mode():
        model(input_ids=calibration_ids(model, around))
    for handle in handles:
        handle.remove()
    spread = []
    for norm, readers in norms_and_readers(model):
        if norm is None:
            spread.append(torch.ones(()))
            continue
        weights = torch.cat([reader.weight.data for reader in readers]).abs().amax(0)
        share = largest[readers[0]].clamp(min=TINY) ** 0.7 / weights.clamp(min=TINY) ** 0.3
        share = share / share.median()
        norm.weight.data /= share
        norm.bias.data /= share
        for reader in readers:
            reader.weight.data *= share
        spread.append(share)
    return spread
