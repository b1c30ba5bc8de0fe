"""The source: every row of the files that has a text, as arrays; the texts are read again once drawn."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from nolabels.data import readers
from nolabels.data.gold import gold_classes
from nolabels.data.texts import text_id

BLOCK_ROWS = 65_536  # rows that are Python objects at a time; everything else is arrays


@dataclass(frozen=True)
class Source:
    """What is known of N rows with a text, in the order of the files; the texts themselves are not kept.

    ids: N x 16 bytes; golds: number of the answer, -1 for none; files: index of the file; rows: number
    in it.
    """

    ids: np.ndarray
    golds: np.ndarray
    files: np.ndarray
    rows: np.ndarray

    def __len__(self):
        return len(self.ids)

    def take(self, indices):
        return Source(self.ids[indices], self.golds[indices], self.files[indices], self.rows[indices])


def scan(files, sample, task, with_gold, keep_empty):
    """One pass over the files -> Source, the answers that its golds number, and how many rows had no text.

    An answer is a tuple of class indices. with_gold: for each file, whether its answers are read;
    keep_empty: whether rows without a text count.
    """
    parts, empty = [], 0
    numbers = {None: -1}
    for number, path in enumerate(files):
        gold = sample.gold if with_gold[number] else None
        to_classes = gold_classes(path, gold, task)
        ids, golds, rows = bytearray(), [], []

        def close(ids, golds, rows, number=number):
            parts.append(
                Source(
                    np.frombuffer(bytes(ids), "V16"),
                    np.array(golds, np.int32),
                    np.full(len(rows), number, np.int32),
                    np.array(rows, np.int64),
                )
            )

        for row, text, value in readers.read_rows(path, sample, gold):
            answer = to_classes(row, value)
            if not keep_empty and not text.strip():
                empty += 1
                continue
            ids += bytes.fromhex(text_id(text))
            golds.append(numbers.setdefault(answer, len(numbers) - 1))
            rows.append(row)
            if len(rows) == BLOCK_ROWS:
                close(ids, golds, rows)
                ids, golds, rows = bytearray(), [], []
        close(ids, golds, rows)
    joined = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "golds", "files", "rows")
    )
    return Source(*joined), list(numbers)[1:], empty


def first_of_each(ids):
    """Indices of the first row of each id, in order. ids: N x 16 bytes."""
    halves = ids.view(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal ids the first comes first
    new = np.ones(len(order), bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(1)
    return np.sort(order[new])


def holds_ids(ids, wanted):
    """Which of N x 16 bytes are among the hex ids `wanted`: N bool."""
    return np.isin(ids, np.array([bytes.fromhex(identifier) for identifier in wanted], "V16"))


def read_texts(files, sample, source):
    """The texts of a source's N rows as one Arrow array, and the place (N) of each row's text in it."""
    order = np.lexsort((source.rows, source.files))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    blocks, block = [], []
    for number, path in enumerate(files):
        wanted = iter(source.rows[order[source.files[order] == number]].tolist())
        row = next(wanted, None)
        if row is None:
            continue
        for found, text, _ in readers.read_rows(path, sample, None):
            if found != row:
                continue
            block.append(text)
            if len(block) == BLOCK_ROWS:
                blocks.append(pa.array(block, pa.large_string()))
                block = []
            row = next(wanted, None)
            if row is None:
                break
    blocks.append(pa.array(block, pa.large_string()))
    return pa.concat_arrays(blocks), place
