"""What people use instead, for benchmarks.speed: llama.cpp, onnxruntime in int8, sentence-transformers.

`pip install -r benchmarks/requirements.txt` brings what requirements-dev.txt does not.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import requests

from nolabels.core.stage import UserError

SLOTS = 8  # of llama.cpp's server


def module(name: str):
    """A Python module. Raises UserError where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"environment: must have {name} ({error}); pip install -r benchmarks/requirements.txt"
        ) from error


@contextmanager
def llama_server(
    model: Path, threads: int, context: int, slots: int = SLOTS, metrics: bool = False
) -> Iterator[str]:
    """The address of llama.cpp's own server on loopback.

    Parameters
    ----------
    model : Path
        A GGUF file.
    threads : int
        Of the processor.
    context : int
        Tokens of a slot.
    slots : int
        Requests that it answers at a time.
    metrics : bool
        Whether it counts what it does, at /metrics.
    """
    llama = module("xllamacpp")
    given = llama.CommonParams()
    given.model.path = str(model)
    given.hostnames, given.port = ["127.0.0.1"], 0
    given.n_parallel, given.n_ctx = slots, context * slots
    given.endpoint_metrics, given.verbosity = metrics, 0
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
    server = llama.Server(given)
    try:
        yield server.listening_address
    finally:
        del server


def llama_labels(url: str, prompts: list[str]) -> list[str]:
    """The next token of each prompt; as many requests at a time as there are slots, each with the head in its cache."""

    def ask(prompt: str) -> str:
        body = {"prompt": prompt, "n_predict": 1, "n_probs": 10, "temperature": 0, "cache_prompt": True}
        return requests.post(f"{url}/completion", data=json.dumps(body), timeout=120).json()["content"]

    with ThreadPoolExecutor(SLOTS) as clients:
        return list(clients.map(ask, prompts))


def onnx_int8(model, folder: Path, threads: int) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """A classifier as onnxruntime's documentation makes it int8: torch.onnx.export, then quantize_dynamic.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A sequence classifier in float32.
    folder : Path
        Where the graphs are written.
    threads : int
        Of the processor.

    Returns
    -------
    callable
        input_ids and attention_mask, int64, batch x tokens -> logits.
    """
    import onnxruntime
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    names = ["input_ids", "attention_mask"]
    batch = {0: "batch", 1: "tokens"}
    ids = torch.randint(5, 1000, (2, 16))
    exported, prepared, small = (folder / f"{name}.onnx" for name in ("exported", "prepared", "int8"))
    torch.onnx.export(
        model.eval(),
        (ids, torch.ones_like(ids)),
        exported,
        input_names=names,
        output_names=["logits"],
        dynamic_axes=dict.fromkeys(names, batch),
        opset_version=17,
        dynamo=False,
    )
    quant_pre_process(str(exported), str(prepared), skip_symbolic_shape=True)
    quantize_dynamic(str(prepared), str(small), weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(small), options)
    return lambda given: session.run(["logits"], {name: given[name] for name in names})[0]


def sentence_encoder(folder: str) -> Callable[[list[str], int], np.ndarray]:
    """encode(texts, batch size) of sentence-transformers, as it comes: float32, sorted by length.

    Parameters
    ----------
    folder : str
        Of a model that sentence-transformers made.
    """
    encoder = module("sentence_transformers").SentenceTransformer(folder, device="cpu")
    return lambda texts, batch: encoder.encode(texts, batch_size=batch, show_progress_bar=False)
