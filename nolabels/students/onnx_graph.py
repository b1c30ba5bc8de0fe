"""A trained classifier as an ONNX graph that a processor runs fast: what `stages.export` writes.

Input: `input_ids` and `attention_mask`, int64, batch x tokens. Output: `logits`, float32, batch x K.

Three things make it fast, and none is seen from outside:
- int8: linear layers multiply 8-bit integers (onnxruntime's DynamicQuantizeMatMul, weights with a
  scale for each output), and the words' embeddings are 8-bit integers;
- the encoders that are built like BERT (`NAMES`) are traced from `Encoder` below: attention is one
  operation, and of the last layer only the first token is computed, the one that the classifier reads;
- what int8 would lose is scaled before it is lost: see `Int8Linear` and `smooth`.

Everything is deterministic: equal weights give equal bytes.
"""

import contextlib
import copy
import os
import sys
import tempfile
import warnings
from collections import Counter

import torch
from torch import nn

OPSET = 17
MICROSOFT = "com.microsoft"  # the domain of onnxruntime's own operations
BLOCK = 32  # numbers of an embedding that share a scale
TINY = 1e-3  # a row of activations is never divided by less
CALIBRATION = (16, 32)  # texts of random tokens, and tokens in each, from which `smooth` reads ranges
# What `attention` of a layer calls query, key and value, and the linear layer and the norm behind them.
# The rest of a layer is intermediate, output.dense and output.LayerNorm in all encoders that are named here.
BERT = ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")
MPNET = ("attn.q", "attn.k", "attn.v", "attn.o", "LayerNorm")
NAMES = dict.fromkeys(("bert", "camembert", "electra", "roberta", "xlm-roberta"), BERT) | {"mpnet": MPNET}


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


class Whole(nn.Module):
    """Any sequence classifier as it is."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def parts(layer, model_type):
    """Query, key and value of a layer, and the linear layer and the norm behind attention."""
    return [layer.attention.get_submodule(name) for name in NAMES[model_type]]


def biases(model):
    """What MPNet adds to the scores of all its layers: heads x 2n - 1, for keys from n - 1 tokens before
    the query to n - 1 behind it, n tokens being the longest text. None where scores depend on no distance.

    They are read from the model here, not computed in the graph: distances share buckets by their
    logarithm, and another rounding of it could move one into the next bucket.
    """
    if not hasattr(model.base_model.encoder, "compute_position_bias"):
        return None
    longest = torch.empty(1, model.config.max_position_embeddings, 1)
    (found,) = model.base_model.encoder.compute_position_bias(longest).detach()
    return torch.cat([found[:, 1:, 0].flip(1), found[:, 0]], 1)


class Encoder(nn.Module):
    """A classifier on an encoder that is built like BERT: the same sums, fewer of them.

    spread: for each of its layer norms but the last what `smooth` divided their outputs by, which
    the sum that goes past the next layer is multiplied by again.
    """

    def __init__(self, model, spread=None):
        super().__init__()
        self.model = model
        self.base = model.base_model
        self.heads = model.config.num_attention_heads
        self.spread = nn.ParameterList(spread or [])
        self.register_buffer("biases", biases(model))

    def past(self, x, place):
        return x * self.spread[place] if len(self.spread) else x

    def bias(self, ids):
        """1 x heads x tokens x tokens, or None. ids: batch x tokens."""
        if self.biases is None:
            return None
        place = torch.arange(ids.shape[1])
        return self.biases[:, place[None] - place[:, None] + self.biases.shape[1] // 2][None]

    def forward(self, input_ids, attention_mask):
        mask, bias = attention_mask.to(torch.int32), self.bias(input_ids)
        x = self.base.embeddings(input_ids=input_ids)
        if hasattr(self.base, "embeddings_project"):
            x = self.base.embeddings_project(x)
        layers = self.base.encoder.layer
        for number, layer in enumerate(layers):
            query, key, value, dense, norm = parts(layer, self.model.config.model_type)
            q = x
            if number == len(layers) - 1:  # nothing but its first token is read
                q, bias = x[:, :1], None if bias is None else bias[:, :, :1]
            found = Attention.apply(query(q), key(x), value(x), mask, bias, self.heads)
            x = norm(dense(found) + self.past(q, 2 * number))
            found = layer.output.dense(layer.intermediate(x))
            x = layer.output.LayerNorm(found + self.past(x, 2 * number + 1))
        if getattr(self.base, "pooler", None) is not None:
            return self.model.classifier(self.base.pooler(x))
        return self.model.classifier(x)


def norms(model):
    """Of each layer norm but the last: itself, or None, and the linear layers that read it."""
    base = model.base_model
    layers = base.encoder.layer
    projected = hasattr(base, "embeddings_project")
    found = []
    for number, layer in enumerate(layers):
        before = layers[number - 1].output if number else None if projected else base.embeddings
        query, key, value, _, norm = parts(layer, model.config.model_type)
        found.append((before and before.LayerNorm, [query, key, value]))
        found.append((norm, [layer.intermediate.dense]))
    return found


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


def prepared(model, around, precision):
    """What is traced for a model: a copy, so that the model itself stays as it is."""
    model = copy.deepcopy(model).eval()
    like_bert = model.config.model_type in NAMES and not getattr(model.config, "is_decoder", False)
    spread = None
    if precision == "int8":
        layers = used_once(model, calibration(model, around))
        if like_bert:
            spread = smooth(model, around)
        to_int8(model, layers)
    return Encoder(model, spread) if like_bert else Whole(model)


def write(model, path, around, precision):
    """Writes a model as an ONNX graph. around: ids of the empty text; precision: int8 or float32."""
    ids = calibration(model, around)[:2]
    mask = torch.ones_like(ids)
    mask[1, -3:] = 0
    batch = {0: "batch", 1: "tokens"}
    with silent(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            prepared(model, around, precision),
            (ids, mask),
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": batch, "attention_mask": batch, "logits": {0: "batch"}},
            opset_version=OPSET,
            custom_opsets={MICROSOFT: 1},
            # the exporter that traces: the newer one needs onnxscript and 12 s instead of 2
            dynamo=False,
        )


@contextlib.contextmanager
def silent():
    """Keeps back what libraries write to standard error, Python's or not; shows it after an exception.

    The exporter tells for every operation of onnxruntime's own that it does not know its shapes.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            file.seek(0)
            os.write(kept, file.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
