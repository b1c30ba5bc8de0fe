"""Serves the model of a folder over HTTP; needs fastapi, uvicorn and prometheus_client, and what predict.py needs.

python serve.pyz MODEL [--host 127.0.0.1] [--port 8000] [--help]
"""

import argparse
import importlib.util
import json
import os
import socket
import sys
from pathlib import Path

import numpy as np
import uvicorn

from .app import make_app
from .batches import Model

ANSWERS = """POST /predict with {"text": "..."} or {"texts": ["...", ...]}; "all": true adds the probability of every class,
"threshold": 0.8 gives no label below it. GET /health, /metrics (for Prometheus), /docs. Texts of several requests share a
batch, which one thread answers. A request that cannot be answered gets {"error": "place: rule, found value"}. No text is
ever written to a log, nor sent back.
"""
FILES = ("classes.json", "model.onnx", "predict.py", "tokenizer.json")


def open_model(folder: Path) -> Model:
    """The Model of a folder's predict.py, which answers a batch with one thread, after it has answered one text; exits
    with one line where it cannot.

    Parameters
    ----------
    folder : Path
        A folder that `export` wrote, or one like it.

    Returns
    -------
    Model
        With classes_, multi_label, threshold and predict_proba.
    """

    def step(name, rule, call):
        try:
            return call()
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            sys.exit(f"error: {folder / name}: {rule}, found {what}")

    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        sys.exit(f"error: {folder}: must hold {', '.join(FILES)}; {missing[0]} is not there")
    keys = {"classes", "max_tokens", "multi_label", "pad", "threshold"}
    known = step("classes.json", "must be JSON", lambda: json.loads((folder / "classes.json").read_bytes()))
    if not isinstance(known, dict) or not keys <= set(known) or not known["classes"]:
        sys.exit(f"error: {folder / 'classes.json'}: must be an object with {', '.join(sorted(keys))}")
    about = importlib.util.spec_from_file_location("predict", folder / "predict.py")
    assert about is not None and about.loader is not None  # both are, for a name in .py
    module, loader = importlib.util.module_from_spec(about), about.loader
    step("predict.py", "must be Python", lambda: loader.exec_module(module))
    if not hasattr(getattr(module, "Model", None), "predict_proba"):
        sys.exit(
            f"error: {folder / 'predict.py'}: must have a Model with predict_proba; export the student anew"
        )
    step(
        "tokenizer.json",
        "must be a tokenizer",
        lambda: module.Tokenizer.from_file(f"{folder}/tokenizer.json"),
    )
    model = step("model.onnx", "must be a model that onnxruntime runs", lambda: module.Model(folder, 1))
    shares = step("model.onnx", "must answer a text", lambda: model.predict_proba(["A text."]))
    if shares.shape != (1, len(model.classes_)) or not np.isfinite(shares).all():
        sys.exit(f"error: {folder / 'model.onnx'}: must give a number for each class of classes.json")
    return model


def parser(about: str) -> argparse.ArgumentParser:
    """The command's arguments. about: what its help begins with."""

    def number(kind, least):
        def read_number(value):
            if kind(value) < least:
                raise argparse.ArgumentTypeError(f"must be at least {least}, found {value}")
            return kind(value)

        read_number.__name__ = "number"
        return read_number

    command = argparse.ArgumentParser(
        description=f"{about}\n{ANSWERS}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("model", type=Path, metavar="MODEL", help=f"a folder with {', '.join(FILES)}")
    command.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1); 0.0.0.0: all")
    for name, kind, least, value, what in (
        ("port", int, 0, 8000, "port to listen at; 0: any that is free"),
        ("threads", int, 0, 0, "batches at a time, each on one core; 0: as many as cores"),
        ("max-texts", int, 1, 256, "texts in a request"),
        ("max-length", int, 1, 20_000, "characters in a text"),
        ("max-bytes", int, 1, 4_000_000, "bytes in a request"),
        ("max-batch", int, 1, 32, "texts in a batch"),
        ("max-wait-ms", float, 0, 2, "milliseconds that a text waits for others to share a batch"),
        ("max-waiting", int, 1, 4096, "texts that may wait; beyond that requests are refused"),
        ("timeout", float, 0.001, 30, "seconds in which a request must be sent, and answered"),
    ):
        command.add_argument(f"--{name}", type=number(kind, least), default=value, help=f"{what} ({value})")
    return command


def serve(args: argparse.Namespace) -> None:
    """Serves until the process is told to end. args: of `parser`."""
    model = open_model(args.model)
    try:
        family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
        listener = socket.create_server((args.host, args.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None) or 0  # below 0: of a name that nobody knows
        what = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
        sys.exit(f"error: {args.host} port {args.port}: must be free to listen at, found {what}")
    config = uvicorn.Config(
        make_app(model, args),
        log_level="warning",
        access_log=False,
        limit_concurrency=4096,
        server_header=False,
    )
    port, name = listener.getsockname()[1], f"[{args.host}]" if ":" in args.host else args.host
    print(f"serving {args.model} at http://{name}:{port} (POST /predict; page: /docs)", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """The command, as it is shipped."""
    serve(parser(__doc__).parse_args())
