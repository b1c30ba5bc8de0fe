"""Linear layers and embeddings of 8-bit integers, and what is done so that they lose little."""

from collections import Counter

import torch
from torch import nn

from nolabels.students.bert_encoder import norms
from nolabels.students.onnx_operators import Product

BLOCK = 32  # numbers of an embedding that share a scale
TINY = 1e-3  # a row of activations is never divided by less
CALIBRATION = (16, 32)  # texts of random tokens, and tokens in each, from which `smooth` reads ranges


def quantized(weight, dim):
    """8-bit integers and the scale of each slice along `dim`; weight is about the first times the second."""
    scale = weight.abs().amax(dim, keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().to(torch.int8), scale


class Int8Linear(nn.Module):
    """A linear layer on 8-bit integers.

    Activations share one scale for a batch. `rows` gives each token one of its own besides: behind an
    activation function a few tokens are ten times as large as the rest, which would be rounded away.
    """

    def __init__(self, linear, rows):
        super().__init__()
        weight, scale = quantized(linear.weight.data.t().contiguous(), 0)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale[0].clone())
        self.register_buffer("bias", None if linear.bias is None else linear.bias.data)
        self.rows = rows

    def forward(self, x):
        if not self.rows:
            return Product.apply(x, self.weight, self.scale, self.bias)
        largest = x.amax(-1, keepdim=True).clamp(min=TINY)
        found = Product.apply(x / largest, self.weight, self.scale, None) * largest
        return found if self.bias is None else found + self.bias


class Int8Embedding(nn.Module):
    """A table of embeddings as 8-bit integers, with a scale for each 32 numbers of a row."""

    def __init__(self, embedding):
        super().__init__()
        table = embedding.weight.data
        block = BLOCK if table.shape[1] % BLOCK == 0 else table.shape[1]
        weight, scale = quantized(table.unflatten(1, (-1, block)), 2)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.padding_idx = embedding.padding_idx  # RoBERTa counts positions from it

    def forward(self, ids):
        return (self.weight[ids].float() * self.scale[ids]).flatten(-2)


def to_int8(model, layers):
    """Replaces the given linear layers and the table of words, in place.

    Other tables stay: they are small, and some are no table, as DeBERTa's of relative positions.
    """
    model.set_input_embeddings(Int8Embedding(model.get_input_embeddings()))
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if child in layers:
                setattr(parent, name, Int8Linear(child, rows=child.in_features > child.out_features))
    return model


def used_once(model, ids):
    """The linear layers that a text goes through once, but not the last one, of K classes.

    What it goes through several times stays float32: onnxruntime cannot convert weights that stand
    in two places, as it must for processors whose 8-bit products overflow (see predict.py).
    """
    calls, handles = Counter(), []
    for module in model.modules():
        if type(module) is nn.Linear and module.out_features != model.config.num_labels:
            handles.append(module.register_forward_hook(lambda module, *_: calls.update([module])))
    with torch.inference_mode():
        model(input_ids=ids)
    for handle in handles:
        handle.remove()
    return {module for module, count in calls.items() if count == 1}


def calibration(model, around):
    """ids, texts x tokens: random tokens, the same each time, between those that the tokenizer adds."""
    texts, tokens = CALIBRATION
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (texts, tokens), generator=draw)
    first, last = (
        torch.tensor(part, dtype=torch.int64).expand(texts, -1) for part in (around[:1], around[1:])
    )
    return torch.cat([first, ids, last], 1)


def smooth(model, around):
    """Makes the channels of activations alike, in place; returns what each norm's output was divided by.

    A few channels behind a layer norm are ten times as large as the rest, which 8 bits with one scale
    for all would round away. A channel divided by s and its weights multiplied by s give the same sum;
    s as in SmoothQuant (Xiao et al. 2023), migration strength 0.7. Ranges are read from random tokens,
    since the large channels are the model's, whatever it reads. around: ids of the empty text.
    """
    largest, handles = {}, []
    for norm, readers in norms(model):
        if norm is not None:
            handles.append(
                readers[0].register_forward_pre_hook(
                    lambda module, inputs: largest.update({module: inputs[0].abs().flatten(0, -2).amax(0)})
                )
            )
    with torch.inference_mode():
        model(input_ids=calibration(model, around))
    for handle in handles:
        handle.remove()
    spread = []
    for norm, readers in norms(model):
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
