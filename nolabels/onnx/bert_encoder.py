"""Classifiers on encoders that are built like BERT, with fewer operations."""

from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from nolabels.onnx.operators import Attention

# What `attention` of a layer calls query, key and value, and the linear layer and the norm behind them.
# The rest of a layer is intermediate, output.dense and output.LayerNorm in all encoders that are named here.
BERT = ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")
MPNET = ("attn.q", "attn.k", "attn.v", "attn.o", "LayerNorm")
NAMES = dict.fromkeys(("bert", "camembert", "electra", "roberta", "xlm-roberta"), BERT) | {"mpnet": MPNET}


def _attention_parts(layer: Any, model_type: str) -> list[nn.Module]:
    """Query, key and value of a layer, and the linear layer and the norm behind attention."""
    return [layer.attention.get_submodule(name) for name in NAMES[model_type]]


def _relative_biases(model: PreTrainedModel) -> torch.Tensor | None:
    """What MPNet adds to the scores of all its layers: heads x 2n - 1, for keys from n - 1 tokens before
    the query to n - 1 behind it, n tokens being the longest text. None where scores depend on no distance.

    They are read from the model here, not computed in the graph: distances share buckets by their
    logarithm, and another rounding of it could move one into the next bucket.
    """
    encoder: Any = model.base_model.encoder
    if not hasattr(encoder, "compute_position_bias"):
        return None
    longest = torch.empty(1, model.config.max_position_embeddings, 1)
    (biases,) = encoder.compute_position_bias(longest).detach()
    return torch.cat([biases[:, 1:, 0].flip(1), biases[:, 0]], 1)


def _without_padding(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where tokens stand among those of all texts, padding left out.

    Parameters
    ----------
    mask : torch.Tensor, batch x tokens
        1 for a token, 0 for padding.

    Returns
    -------
    tokens : torch.Tensor, N
        The position of each of the N tokens in the batch, flattened.
    places : torch.Tensor, batch x tokens
        For each position of the batch, which of the N tokens stands there; for padding any.
    """
    flat = mask.flatten()
    return flat.nonzero().squeeze(1), (flat.cumsum(0) - 1).clamp(min=0).reshape(mask.shape)


class Encoder(nn.Module):
    """A classifier on an encoder that is built like BERT: the same sums, fewer of them.

    Only attention sees padding. All else, which is most of the work, is done for tokens alone, as ByteTransformer does
    (Zhai et al. 2023): so texts of any lengths can share a batch.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Of a type in NAMES.
    spread : list of torch.Tensor or None
        For each of its layer norms but the last what `smooth` divided its output by. The sum that goes past the next
        layer is multiplied by it again.
    """

    biases: torch.Tensor | None

    def __init__(self, model: PreTrainedModel, spread: list[torch.Tensor] | None = None):
        super().__init__()
        # torch knows no types of what a module holds
        self.model: Any = model
        self.base: Any = model.base_model
        self.heads = model.config.num_attention_heads
        self.spread = nn.ParameterList(spread or [])
        self.register_buffer("biases", _relative_biases(model))

    def _residual(self, x: torch.Tensor, norm: int) -> torch.Tensor:
        """x, which comes from a norm (its number), as it was before it was smoothed."""
        return x * self.spread[norm] if len(self.spread) else x

    def _bias(self, ids: torch.Tensor) -> torch.Tensor | None:
        """1 x heads x tokens x tokens, or None. ids: batch x tokens."""
        if self.biases is None:
            return None
        position = torch.arange(ids.shape[1])
        return self.biases[:, position[None] - position[:, None] + self.biases.shape[1] // 2][None]

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Batch x tokens of all -> batch x K logits."""
        mask, bias = attention_mask.to(torch.int32), self._bias(input_ids)
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        layers, (tokens, places) = self.base.encoder.layer, _without_padding(attention_mask)
        x = self.base.embeddings(input_ids=input_ids, **types).flatten(0, 1)[tokens]
        if hasattr(self.base, "embeddings_project"):
            x = self.base.embeddings_project(x)
        for number, layer in enumerate(layers):
            query, key, value, dense, norm = _attention_parts(layer, self.model.config.model_type)
            keys, values = key(x)[places], value(x)[places]
            if number < len(layers) - 1:
                attended = Attention.apply(query(x)[places], keys, values, mask, bias, self.heads)
                attended = attended.flatten(0, 1)[tokens]
            else:  # nothing but its first token is read
                x, bias = x[places[:, :1]], None if bias is None else bias[:, :, :1]
                attended = Attention.apply(query(x), keys, values, mask, bias, self.heads)
            x = norm(dense(attended) + self._residual(x, 2 * number))
            fed_forward = layer.output.dense(layer.intermediate(x))
            x = layer.output.LayerNorm(fed_forward + self._residual(x, 2 * number + 1))
        if getattr(self.base, "pooler", None) is not None:
            return self.model.classifier(self.base.pooler(x))
        return self.model.classifier(x)


def norms_and_readers(model: PreTrainedModel) -> list[tuple[nn.Module | None, list[nn.Linear]]]:
    """Each layer norm but the last, or None where a projection stands in between, and the linear layers that read it."""
    base: Any = model.base_model
    layers = base.encoder.layer
    projected = hasattr(base, "embeddings_project")
    pairs: list[tuple[nn.Module | None, list[nn.Linear]]] = []
    for number, layer in enumerate(layers):
        before = layers[number - 1].output if number else None if projected else base.embeddings
        query, key, value, _, norm = _attention_parts(layer, model.config.model_type)
        pairs.append((before and before.LayerNorm, cast(list[nn.Linear], [query, key, value])))
        pairs.append((norm, [layer.intermediate.dense]))
    return pairs
