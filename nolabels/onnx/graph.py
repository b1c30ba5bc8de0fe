"""A trained classifier as an ONNX graph that a processor runs fast.

Input: `input_ids` and `attention_mask`, int64, batch x tokens, and `token_type_ids` where they are asked for. Output:
`logits`, float32, batch x K.

Five things make it fast, and none is seen from outside:
- int8: linear layers multiply 8-bit integers (onnxruntime's DynamicQuantizeMatMul, weights with a
  scale for each output), and the words' embeddings are 8-bit integers;
- the encoders that are built like BERT are traced from `bert_encoder.Encoder`: attention is one
  operation, and of the last layer only the first token is computed, the one that the classifier reads;
- what int8 would lose is scaled before it is lost: see `Int8Linear` and `smooth` in int8.py;
- in these encoders padding costs next to nothing, so texts of any lengths can share a batch: only attention sees it;
- attention reads no mask where no text is padded: see padding.py.

What it brings beside torch.onnx.export and onnxruntime's quantize_dynamic: at the same size, labels and
probabilities much nearer to the model's own, since those round away what `smooth` and the scale of a token keep.

Everything is deterministic: equal weights give equal bytes.
"""

import contextlib
import copy
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import onnx
import torch
from torch import nn
from transformers import PreTrainedModel

from nolabels.onnx.bert_encoder import NAMES, Encoder
from nolabels.onnx.int8 import calibration_ids, layers_used_once, smooth, to_int8
from nolabels.onnx.operators import MICROSOFT
from nolabels.onnx.padding import attend_unmasked

if TYPE_CHECKING:
    import onnxruntime

OPSET = 17
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class AnyClassifier(nn.Module):
    """A sequence classifier of any make, as it is."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Batch x tokens of each of INPUTS, of the last or not -> batch x K logits."""
        return self.model(**dict(zip(INPUTS, inputs, strict=False))).logits


def _prepare(model: PreTrainedModel, around: list[int], precision: str, every_layer: bool) -> nn.Module:
    """What is traced for a model: a copy, so that the model itself stays as it is. See write_graph."""
    model = copy.deepcopy(model).eval()
    like_bert = model.config.model_type in NAMES and not getattr(model.config, "is_decoder", False)
    spread = None
    if precision == "int8":
        layers = layers_used_once(model, calibration_ids(model, around))
        if like_bert:
            spread = smooth(model, around)
        to_int8(model, layers, every_layer)
    return Encoder(model, spread) if like_bert else AnyClassifier(model)


def write_graph(
    model: PreTrainedModel,
    out: Path | BytesIO,
    around: list[int],
    precision: str,
    *,
    token_types: bool = False,
    every_layer: bool = False,
) -> None:
    """Writes a model as an ONNX graph.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A sequence classifier in float32.
    out : pathlib.Path or io.BytesIO
        The file to write.
    around : list of int
        Token ids of the empty text.
    precision : {"int8", "float32"}
        Of weights and products.
    token_types : bool
        Whether the graph is told which of two texts a token belongs to. Without it all belong to the first.
    every_layer : bool
        Whether in int8 every layer gives tokens scales of their own. A zero-shot teacher needs it, whose classes are
        often nearly equal: without it more labels differ from those of float32.
    """
    ids = calibration_ids(model, around)[:2]
    mask = torch.ones_like(ids)
    mask[1, -3:] = 0
    names = INPUTS if token_types else INPUTS[:2]
    batch = {0: "batch", 1: "tokens"}
    traced = BytesIO()
    with _silent(), _any_length(model), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            _prepare(model, around, precision, every_layer),
            (ids, mask, *([torch.zeros_like(ids)] if token_types else [])),
            cast(Any, traced),  # torch names paths alone and takes both
            input_names=list(names),
            output_names=["logits"],
            dynamic_axes=dict.fromkeys(names, batch) | {"logits": {0: "batch"}},
            opset_version=OPSET,
            custom_opsets={MICROSOFT: 1},
            # the exporter that traces: the newer one needs onnxscript and 12 s instead of 2
            dynamo=False,
        )
    graph = onnx.load_from_string(traced.getvalue())
    attend_unmasked(graph)
    onnx.save(graph, out)


def open_int8(model: PreTrainedModel, around: list[int], token_types: bool) -> "onnxruntime.InferenceSession":
    """The graph of a teacher in int8, held in memory; a batch is answered by one thread.

    Parameters
    ----------
    model, around, token_types
        See write_graph.

    Returns
    -------
    onnxruntime.InferenceSession
        For the inputs and the output that are named above.
    """
    import onnxruntime

    graph = BytesIO()
    write_graph(model, graph, around, "int8", token_types=token_types, every_layer=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    able = torch.cpu.get_capabilities()
    if able.get("avx2") and not (able.get("avx512_vnni") or able.get("avx_vnni")):
        # 8-bit products would overflow there, as predict.py says
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(graph.getvalue(), options)


@contextlib.contextmanager
def _any_length(model: PreTrainedModel) -> Iterator[None]:
    """Has the first DeBERTa count tokens in the graph. It counts them in Python, so that the graph would hold the number
    of the example's tokens, and fail on longer texts."""
    if model.config.model_type != "deberta":
        yield
        return
    from transformers.models.deberta import modeling_deberta as deberta

    def span(query_layer: torch.Tensor, key_layer: torch.Tensor, max_relative_positions: int) -> torch.Tensor:
        # equal in self-attention, which is all that a classifier has
        return torch._shape_as_tensor(query_layer)[-2].clamp(max=max_relative_positions)

    plain, deberta.compute_attention_span = deberta.compute_attention_span, span
    try:
        yield
    finally:
        deberta.compute_attention_span = plain


@contextlib.contextmanager
def _silent():
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
