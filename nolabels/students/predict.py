"""Classifies texts with the model in this folder; needs numpy, onnxruntime and tokenizers, nothing else.

    python predict.py FILE...           one text a line, or standard input; writes label, tab, probability
    Model(folder).predict(texts)        in Python, with predict_proba and classes_, as scikit-learn has them

Where a text may have several labels, a line holds a pair for each, and `predict` gives an N x K indicator."""

import argparse
import fileinput
import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

TOKENS, WINDOW = 512, 4096  # tokens in a batch, which a core's cache holds; texts sorted by length at a time
LEAST = 256  # a batch of so many ends before a longer text: where nothing is padded, attention is faster


def is_full(size: int, shortest: int, longest: int) -> bool:
    """Whether a batch ends before its next text, of `longest` tokens."""
    return (size + 1) * longest > TOKENS or (size * shortest >= LEAST and longest > shortest)


class Model:
    """threads: of the processor, 0 for as many as cores; classes_: K names, in the order of the columns."""

    def __init__(self, folder=Path(__file__).parent, threads=0):
        about = json.loads(Path(folder, "classes.json").read_text(encoding="utf-8"))
        self.classes_, self.pad = np.array(about["classes"]), about["pad"]
        self.multi_label, self.threshold = about["multi_label"], about["threshold"]
        self.tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(about["max_tokens"])
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.path, self.threads = str(Path(folder, "model.onnx")), threads or cores
        self.session = self.open(threads)
        self.single = self.open(1) if self.threads > 1 else self.session

    def open(self, threads: int) -> onnxruntime.InferenceSession:
        """The model, which answers a batch with so many threads."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        processor = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        if "avx2" in processor and "vnni" not in processor:  # 8-bit products would overflow there
            options.add_session_config_entry("session.x64quantprecision", "1")
        return onnxruntime.InferenceSession(self.path, options)

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        """N x K float32, in the order of the texts; with one label a text each row sums to 1."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        shares = np.zeros((len(texts), len(self.classes_)), np.float32)
        for at in range(0, len(texts), WINDOW):
            rows = [it.ids or [self.pad] for it in self.tokenizer.encode_batch_fast(texts[at : at + WINDOW])]
            order = sorted((len(ids), row) for row, ids in enumerate(rows))
            places, batches = [at + row for _, row in order], []
            while order:  # the longest decides what a batch costs
                ends = (n for n in range(1, len(order)) if is_full(n, order[0][0], order[n][0]))
                size = next(ends, len(order))
                batches.append([rows[row] for _, row in order[:size]])
                order = order[size:]
            many = len(batches) >= self.threads > 1  # then a thread for each batch is faster than all for one
            answer = partial(self.batch, self.single if many else self.session)
            with ThreadPoolExecutor(self.threads if many else 1) as pool:
                shares[places] = np.concatenate(list(pool.map(answer, batches)))
        return shares

    def batch(self, session: onnxruntime.InferenceSession, rows: list[list[int]]) -> np.ndarray:
        """Probabilities of lists of tokens; the last is the longest."""
        ids = np.array([row + [self.pad] * (len(rows[-1]) - len(row)) for row in rows], np.int64)
        mask = np.array([[1] * len(row) + [0] * (len(rows[-1]) - len(row)) for row in rows], np.int64)
        (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        powers = np.exp(-logits if self.multi_label else logits - logits.max(1, keepdims=True))
        return 1 / (1 + powers) if self.multi_label else powers / powers.sum(1, keepdims=True)

    def predict(self, texts: list[str], threshold: float | None = None) -> np.ndarray:
        """N labels, None below the threshold; with several labels a text N x K, 1 from the threshold on."""
        shares, limit = self.predict_proba(texts), self.threshold if threshold is None else threshold
        if self.multi_label:
            return (shares >= limit).astype(int)
        return np.where(shares.max(1) >= (limit or 0), self.classes_[shares.argmax(1)], np.array(None))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="one text a line; none: standard input")
    parser.add_argument("--threshold", type=float, help="0 to 1: no label where it is less sure", metavar="P")
    args, model = parser.parse_args(), Model()
    if not 0 <= (args.threshold or 0) <= 1:
        parser.error(f"--threshold: must be 0 to 1, found {args.threshold}")
    limit = model.threshold or 0 if args.threshold is None else args.threshold
    with fileinput.input(args.files, encoding="utf-8", errors="replace") as lines:
        while texts := [line.rstrip("\r\n") for line in islice(lines, WINDOW)]:
            for row in model.predict_proba(texts):
                top = np.flatnonzero(row >= limit) if model.multi_label else [row.argmax()]
                names = np.where(row >= limit, model.classes_, "")
                print("\t".join(f"{names[n]}\t{row[n]:.4f}" for n in top))
