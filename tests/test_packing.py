"""Models that only read answer as they did before their layers were laid out for the processor."""

import pytest
import torch
import transformers

from nolabels.core import models
from nolabels.teachers import packing
from tests import tiny


def linear(precision, bias=True):
    torch.manual_seed(0)
    return torch.nn.Linear(192, 96, bias=bias).to(getattr(torch, precision))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_packed_layer_multiplies_as_the_layer_does(precision, bias):
    if not packing.can_pack(precision):
        pytest.skip(f"no packed products in {precision} here")
    layer = linear(precision, bias)
    packed = packing.PackedLinear(layer)
    assert torch.equal(packed.weight, layer.weight)
    for size in ((7, 192), (3, 41, 192), (0, 192)):
        x = torch.randn(size).to(layer.weight.dtype)
        with torch.inference_mode():
            wanted, given = layer(x), packed(x)
        if precision == "bfloat16":
            assert torch.equal(given, wanted)
        torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_packed_model_has_the_states_that_it_had(tmp_path, precision):
    if not packing.can_pack(precision):
        pytest.skip(f"no packed products in {precision} here")
    folder = tiny.causal_model(tmp_path / "model")
    model, tokenizer = models.load_model(folder, "CausalLM", device="cpu", precision=precision)
    ids = torch.tensor([tokenizer("a warm and funny film about a town")["input_ids"]])
    with torch.inference_mode():
        wanted = model(ids).logits
        packing.pack(model, "cpu", precision, 64)
        given = model(ids).logits
    kinds = {type(module) for module in model.modules()}
    assert {packing.PackedLinear, packing.GatedFeedForward, packing.RMSNorm} <= kinds
    assert type(model.get_output_embeddings()) is torch.nn.Linear
    rough = 0.1 if precision == "bfloat16" else 1e-4
    torch.testing.assert_close(given, wanted, rtol=0, atol=rough * float(wanted.float().std()))


def test_a_layer_of_another_make_stays():
    class Other(torch.nn.Module):  # a norm whose weight counts from 1, as Gemma's
        variance_epsilon = 1e-6

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(16))

        def forward(self, x):
            return torch.nn.functional.rms_norm(x, (16,), 1 + self.weight, self.variance_epsilon)

    assert packing.replacement(packing.RMSNorm, Other()) is None
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=32, num_attention_heads=2, hidden_act="gelu"
    )
    layer = transformers.models.llama.modeling_llama.LlamaMLP(config)
    for name in packing.GatedFeedForward.parts:
        setattr(layer, name, packing.PackedLinear(getattr(layer, name)))
    assert packing.replacement(packing.GatedFeedForward, layer) is None


def test_on_other_devices_nothing_is_touched():
    model = torch.nn.Sequential(linear("float32"))
    packing.pack(model, "cuda", "float32", 64)
    assert type(model[0]) is torch.nn.Linear
