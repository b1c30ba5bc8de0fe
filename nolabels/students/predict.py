"""Classifies texts with the model in this folder; needs numpy, onnxruntime and tokenizers, nothing else.

    python predict.py FILE...           one text a line, or standard input; writes label, tab, probability
    Model(folder).predict(texts)        the same in Python: [(label, probability), ...]

Where a text may have several labels a line holds a pair for each, and `predict` gives lists of pairs."""

import fileinput
import json
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

TOKENS = 512  # in a batch, padding included: as much as a core's cache holds
WINDOW = 4096  # texts that are sorted by length at a time


class Model:
    """threads: of the processor; 0 for as many as there are cores."""

    def __init__(self, folder=Path(__file__).parent, threads=0):
        folder = Path(folder)
        about = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        self.classes, self.pad = about["classes"], about["pad"]
        self.multi_label, self.threshold = about["multi_label"], about["threshold"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(about["max_tokens"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        processor = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        if "avx2" in processor and "vnni" not in processor:  # 8-bit products would overflow there
            options.add_session_config_entry("session.x64quantprecision", "1")
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)

    def probabilities(self, texts):
        """N x K float32, in the order of the texts; with one label a text each row sums to 1."""
        found = np.zeros((len(texts), len(self.classes)), np.float32)
        for start in range(0, len(texts), WINDOW):
            rows = self.tokenizer.encode_batch_fast(texts[start : start + WINDOW])
            rows = [row.ids or [self.pad] for row in rows]
            order, first = sorted(range(len(rows)), key=lambda row: len(rows[row])), 0
            while first < len(order):
                last = first + 1
                while last < len(order) and (last + 1 - first) * len(rows[order[last]]) <= TOKENS:
                    last += 1
                batch, first = order[first:last], last
                found[[start + row for row in batch]] = self.batch([rows[row] for row in batch])
        return found

    def batch(self, rows):
        """Probabilities of lists of tokens; the last is the longest."""
        ids = np.full((len(rows), len(rows[-1])), self.pad, np.int64)
        mask = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)], mask[place, : len(row)] = row, 1
        (logits,) = self.session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        if self.multi_label:
            return 1 / (1 + np.exp(-logits))
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def predict(self, texts):
        """(label, probability) of each text; a list of such pairs where it may have several labels."""
        pairs = [list(zip(self.classes, row.tolist(), strict=True)) for row in self.probabilities(texts)]
        if self.multi_label:
            return [[pair for pair in row if pair[1] >= self.threshold] for row in pairs]
        return [max(row, key=lambda pair: pair[1]) for row in pairs]


if __name__ == "__main__":
    model = Model()
    with fileinput.input(encoding="utf-8", errors="replace") as lines:
        while texts := [line.rstrip("\r\n") for line in islice(lines, WINDOW)]:
            for found in model.predict(texts):
                pairs = found if model.multi_label else [found]
                print("\t".join(f"{label}\t{probability:.4f}" for label, probability in pairs))
