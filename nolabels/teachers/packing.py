"""Models that only read: their layers laid out for the processor.

A product of a few hundred tokens and a weight spends a sixth of its time on putting the weight into the order
that the kernel (oneDNN's) wants. Here that is done once, by the operations with which torch.compile freezes
weights, but without a compiler. In bfloat16 the products are the same bit for bit, in float32 but for the order
in which they are summed. Two things that models spell out in many small steps become few: the feed-forward
layer with a gate, and the norm by root mean square. Each stands in only where it answers like what it replaces.
"""

import torch
from torch import nn

LONGEST = 512  # tokens up to which plain attention stays in the processor's caches
ROWS = 512  # tokens to a product that the layout is chosen for; any number gives the same
# how far a layer that stands in for another may be from it: a share of each number, and of their standard deviation
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.03}


class Packed(nn.Module):
    """A linear layer that has learned all it will: weights in the kernel's own order, no gradients."""

    def __init__(self, linear):
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.data, ROWS)
        self.bias = linear.bias

    @property
    def weight(self):
        """outputs x inputs, for models that look at it."""
        return self.packed.to_dense()

    def forward(self, x, then="none"):
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, then, [], "")

    def times(self, x, factor):
        return torch.ops.mkldnn._linear_pointwise.binary(x, factor, self.packed, self.bias, "mul")


class Gated(nn.Module):
    """down(silu(gate(x)) * up(x)) in three operations; of packed layers (Shazeer 2020, "GLU Variants")."""

    parts = ("gate_proj", "up_proj", "down_proj")

    def __init__(self, layer):
        super().__init__()
        self.gate, self.up, self.down = (getattr(layer, name) for name in self.parts)

    def forward(self, x):
        return self.down(self.up.times(x, self.gate(x, "swish")))


class Norm(nn.Module):
    """torch's norm by root mean square."""

    parts = ("weight", "variance_epsilon")

    def __init__(self, layer):
        super().__init__()
        self.weight, self.epsilon = (getattr(layer, name) for name in self.parts)

    def forward(self, x):
        return nn.functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


def can_pack(precision):
    """Whether this build of torch, on this processor, multiplies packed weights of that precision."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        one = nn.Linear(2, 2).to(getattr(torch, precision))
        with torch.inference_mode():
            Packed(one)(one.weight)
    except (AttributeError, RuntimeError):
        return False
    return True


def children(model):
    """(parent, name, child) of every module of a model, as it is before any is replaced."""
    return [(parent, name, child) for parent in model.modules() for name, child in parent.named_children()]


def stand_in(kind, layer):
    """A Gated or a Norm that answers like the layer, or None where the layer is of another make."""
    if not all(hasattr(layer, name) for name in kind.parts):
        return None
    first = getattr(layer, kind.parts[0])
    weight = first.weight if isinstance(first, Packed) else first
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(4, weight.shape[-1], generator=draw).to(weight.dtype)
    try:
        found = kind(layer)
        with torch.inference_mode():
            wanted, given = layer(x), found(x)
    except (AttributeError, TypeError, RuntimeError):
        return None
    rough = TOLERANCE[x.dtype]
    near = torch.allclose(given, wanted, rtol=rough, atol=rough * float(wanted.float().std()))
    return found if near else None


def settle(model, device, precision, max_tokens):
    """Makes a model read faster, in place; it can neither learn nor be saved afterwards.

    On a processor its linear layers are packed, but not the output layer of a language model, whose weights are
    those of the embeddings too. In bfloat16, texts of up to LONGEST tokens are attended to in plain products, which
    are faster there than the fused kernel; longer ones would need the square of their length in memory.
    """
    if device != "cpu" or not can_pack(precision):
        return
    output = model.get_output_embeddings()
    for parent, name, child in children(model):
        if type(child) is nn.Linear and child is not output:
            setattr(parent, name, Packed(child))
    for kind in (Gated, Norm):
        for parent, name, child in children(model):
            if found := stand_in(kind, child):
                setattr(parent, name, found)
    if precision == "bfloat16" and max_tokens <= LONGEST and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")
