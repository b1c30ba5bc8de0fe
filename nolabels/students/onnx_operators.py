"""onnxruntime's own operations, as functions of torch that the exporter knows how to write."""

import torch
from torch import nn

MICROSOFT = "com.microsoft"  # the domain of onnxruntime's own operations


class Product(torch.autograd.Function):
    """x times 8-bit weights: in torch with float activations, in ONNX with 8-bit ones, scaled by their range."""

    @staticmethod
    def forward(ctx, x, weight, scale, bias):
        found = x @ (weight.float() * scale)
        return found if bias is None else found + bias

    @staticmethod
    def symbolic(g, x, weight, scale, bias):
        zero = g.op("Constant", value_t=torch.zeros(scale.type().sizes(), dtype=torch.int8))
        more = [] if bias is None else [bias]
        found = g.op(f"{MICROSOFT}::DynamicQuantizeMatMul", x, weight, scale, zero, *more)
        return found.setType(of_any_batch(x, scale.type().sizes()[0]))


class Attention(torch.autograd.Function):
    """Attention of several heads in one operation.

    q, k, v: batch x tokens x width, of q perhaps fewer tokens; mask: batch x tokens; bias: what is added
    to the scores of all texts, 1 x heads x tokens of q x tokens, or None.
    """

    @staticmethod
    def forward(ctx, q, k, v, mask, bias, heads):
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        # where a text has no token at all every key counts alike, as in onnxruntime
        added = (1.0 - mask[:, None, None].to(q.dtype)) * torch.finfo(q.dtype).min
        added = added if bias is None else added + bias
        found = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=added)
        return found.transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(g, q, k, v, mask, bias, heads):
        absent = g.op("prim::Constant")
        absent.setType(torch._C.NoneType.get())
        more = [] if bias is None else [bias]
        found = g.op(f"{MICROSOFT}::MultiHeadAttention", q, k, v, absent, mask, *more, num_heads_i=heads)
        return found.setType(of_any_batch(q))


def of_any_batch(x, width=None):
    """The type of x, with another width if given, and with no fixed batch or number of tokens."""
    sizes = x.type().sizes()
    if sizes is None:
        return x.type()
    return x.type().with_sizes([None] * (len(sizes) - 1) + [width or sizes[-1]])
