"""Models that only read: their layers laid out for the processor.

A product of a few hundred tokens and a weight spends a part of its time on putting the weight into the order
that the kernel (oneDNN's) wants. Here that is done once, by the operations with which torch.compile freezes
weights, but without a compiler. It brings next to nothing in float32 on a processor with AVX2 alone; it is meant for
bfloat16, where the products themselves are fast. Without it scores would differ in their last digits, so REVISION in
kinds.py would have to rise. In bfloat16 the products are the same bit for bit, in float32 but for the order
in which they are summed. Two things that models spell out in many small steps become few: the feed-forward
layer with a gate, and the norm by root mean square. Each stands in only where it answers like what it replaces.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

LONGEST = 512  # tokens up to which plain attention stays in the processor's caches
ROWS = 512  # tokens to a product that the layout is chosen for; any number gives the same
# how far a layer that stands in for another may be from it: a share of each number, and of their standard deviation
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.03}


class PackedLinear(nn.Module):
    """A linear layer that has learned all it will: weights in the kernel's own order, no gradients."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.data, ROWS)
        self.bias = linear.bias

    @property
    def weight(self) -> torch.Tensor:
        """outputs x inputs, for models that look at it."""
        return self.packed.to_dense()

    def forward(self, x: torch.Tensor, activation: str = "none") -> torch.Tensor:
        """The product, and an activation function behind it, by oneDNN's name."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, activation, [], "")

    def times(self, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """The product, multiplied by a factor number by number."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, factor, self.packed, self.bias, "mul")


class GatedFeedForward(nn.Module):
    """down(silu(gate(x)) * up(x)) in three operations; of packed layers (Shazeer 2020, "GLU Variants")."""

    parts = ("gate_proj", "up_proj", "down_proj")

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.gate, self.up, self.down = (getattr(layer, name) for name in self.parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer that this one replaces would compute."""
        return self.down(self.up.times(x, self.gate(x, "swish")))


class RMSNorm(nn.Module):
    """torch's norm by root mean square."""

    parts = ("weight", "variance_epsilon")

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.weight, self.epsilon = (getattr(layer, name) for name in self.parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer that this one replaces would compute."""
        return nn.functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


def can_pack(precision: str) -> bool:
    """Whether this build of torch, on this processor, multiplies packed weights of that precision."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        layer = nn.Linear(2, 2).to(getattr(torch, precision))
        with torch.inference_mode():
            PackedLinear(layer)(layer.weight)
    except (AttributeError, RuntimeError):
        return False
    return True


def _children(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """(parent, name, child) of every module of a model, as it is before any is replaced."""
    return [(parent, name, child) for parent in model.modules() for name, child in parent.named_children()]


def replacement(kind: type[GatedFeedForward] | type[RMSNorm], layer: nn.Module) -> nn.Module | None:
    """A GatedFeedForward or an RMSNorm that answers like the layer, or None where the layer is of another make."""
    if not all(hasattr(layer, name) for name in kind.parts):
        return None
    first = getattr(layer, kind.parts[0])
    weight = first.weight if isinstance(first, PackedLinear) else first
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(4, weight.shape[-1], generator=draw).to(weight.dtype)
    try:
        fast = kind(layer)
        with torch.inference_mode():
            wanted, given = layer(x), fast(x)
    except (AttributeError, TypeError, RuntimeError):
        return None
    rough = TOLERANCE[x.dtype]
    near = torch.allclose(given, wanted, rtol=rough, atol=rough * float(wanted.float().std()))
    return fast if near else None


def pack(model: PreTrainedModel, device: str, precision: str, max_tokens: int) -> None:
    """Makes a model read faster, in place; it can neither learn nor be saved afterwards.

    On a processor its linear layers are packed, but not the output layer of a language model, whose weights are
    those of the embeddings too. In bfloat16, texts of up to LONGEST tokens are attended to in plain products, which
    are faster there than the fused kernel; longer ones would need the square of their length in memory.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Of any kind. On another device than the processor it stays as it is.
    device : str
        A torch device name.
    precision : {"float32", "bfloat16"}
        Of its weights.
    max_tokens : int
        Tokens of the longest text that it reads.
    """
    if device != "cpu" or not can_pack(precision):
        return
    output = model.get_output_embeddings()
    for parent, name, child in _children(model):
        if type(child) is nn.Linear and child is not output:
            setattr(parent, name, PackedLinear(child))
    for kind in (GatedFeedForward, RMSNorm):
        for parent, name, child in _children(model):
            if fast := replacement(kind, child):
                setattr(parent, name, fast)
    if precision == "bfloat16" and max_tokens <= LONGEST and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")
