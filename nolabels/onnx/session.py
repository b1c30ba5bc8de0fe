"""A classifier of transformers, opened in onnxruntime with 8-bit integers."""

from io import BytesIO
from pathlib import Path

import onnxruntime
from transformers import PreTrainedModel

from nolabels.onnx.graph import write_graph


def int8_session(
    model: PreTrainedModel, around: list[int], token_types: bool
) -> onnxruntime.InferenceSession:
    """The graph of a model in int8, held in memory; a batch is answered by one thread.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A sequence classifier in float32; it stays as it is.
    around : list of int
        Token ids of the empty text.
    token_types : bool
        Whether the graph is told which of two texts a token belongs to.

    Returns
    -------
    onnxruntime.InferenceSession
        For the inputs and the output that `graph` describes.
    """
    graph = BytesIO()
    write_graph(model, graph, around, "int8", token_types=token_types, every_layer=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    processor = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "avx2" in processor and "vnni" not in processor:  # 8-bit products would overflow there: see predict.py
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(graph.getvalue(), options)
