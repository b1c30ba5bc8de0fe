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

import torch
from torch import nn

from nolabels.students.bert_encoder import NAMES, Encoder
from nolabels.students.int8 import calibration, smooth, to_int8, used_once
from nolabels.students.onnx_operators import MICROSOFT

OPSET = 17


class Whole(nn.Module):
    """Any sequence classifier as it is."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


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
