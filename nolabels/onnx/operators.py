"""onnxruntime's own operations, as functions of torch that the exporter knows how to write."""

from typing import Any

import torch
from torch import nn

MICROSOFT = "com.microsoft"  # the domain of onnxruntime's own operations


class Int8Product(torch.autograd.Function):
    """x times 8-bit weights: in torch with float activations, in ONNX with 8-bit ones, scaled by their range."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """What the exporter runs: x, ... x inputs, times inputs x outputs, with a scale for each output."""
        product = x @ (weight.float() * scale)
        return product if bias is None else product + bias

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any, scale: Any, bias: Any) -> Any:
        """What the exporter writes; g: the graph, the others: values of it."""
        zero = g.op("Constant", value_t=torch.zeros(scale.type().sizes(), dtype=torch.int8))
        more = [] if bias is None else [bias]
        product = g.op(f"{MICROSOFT}::DynamicQuantizeMatMul", x, weight, scale, zero, *more)
        return product.setType(_type_of_any_batch(x, scale.type().sizes()[0]))


class Attention(torch.autograd.Function):
    """Attention of several heads in one operation."""

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor,
        bias: torch.Tensor | None,
        heads: int,
    ) -> torch.Tensor:
        """What the exporter runs.

        Parameters
        ----------
        q, k, v : torch.Tensor, batch x tokens x width
            Queries, keys and values; there may be fewer queries than keys.
        mask : torch.Tensor, batch x tokens
            1 for a token, 0 for padding.
        bias : torch.Tensor, 1 x heads x queries x tokens, or None
            What is added to the scores of all texts.
        heads : int
            How many there are.
        """
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        # where a text has no token at all every key counts alike, as in onnxruntime
        added = (1.0 - mask[:, None, None].to(q.dtype)) * torch.finfo(q.dtype).min
        added = added if bias is None else added + bias
        attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=added)
        return attended.transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(g: Any, q: Any, k: Any, v: Any, mask: Any, bias: Any, heads: int) -> Any:
        """What the exporter writes; g: the graph, the others: values of it."""
        absent = g.op("prim::Constant")
        absent.setType(torch._C.NoneType.get())
        more = [] if bias is None else [bias]
        attended = g.op(f"{MICROSOFT}::MultiHeadAttention", q, k, v, absent, mask, *more, num_heads_i=heads)
        return attended.setType(_type_of_any_batch(q))


def _type_of_any_batch(x: Any, width: int | None = None) -> Any:
    """The type of a value of the graph, with another width if given, and with no fixed batch or number of tokens."""
    sizes = x.type().sizes()
    if sizes is None:
        return x.type()
    return x.type().with_sizes([None] * (len(sizes) - 1) + [width or sizes[-1]])
