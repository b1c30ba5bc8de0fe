"""The source: every row of the files that has a text, as arrays; the texts are read again once drawn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels.core.params import Sample, Task
from nolabels.data import readers
from nolabels.data.gold import gold_classes
from nolabels.data.texts import text_id

BLOCK_ROWS = 65_536  # rows that are Python objects at a time; everything else is arrays


@dataclass(frozen=True)
class Source:
    """N rows with a text, in the order of the files; the texts themselves are not kept.

    Attributes
    ----------
    ids : np.ndarray
        N x 16 bytes.
    golds : np.ndarray
        N numbers of answers, -1 for none.
    files : np.ndarray
        N indices of the files.
    rows : np.ndarray
        N numbers of the rows in their files.
    """

    ids: np.ndarray
    golds: np.ndarray
    files: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: np.ndarray | slice) -> "Source":
        """The rows of some indices, of a mask of N bool, or of a slice."""
        return Source(self.ids[indices], self.golds[indices], self.files[indices], self.rows[indices])


def scan(
    files: Sequence[Path], sample: Sample, task: Task, with_gold: Sequence[bool], keep_empty: bool
) -> tuple[Source, list[tuple[int, ...]], int]:
    """Reads the files once, from the first to the last row.

    Parameters
    ----------
    files : sequence of Path
        The files.
    sample : Sample
        Their format and columns.
    task : Task
        The classes that answers name.
    with_gold : sequence of bool
        For each file, whether its answers are read.
    keep_empty : bool
        Whether rows without a text count.

    Returns
    -------
    tuple of (Source, list of tuple of int, int)
        The rows; the answers that source.golds numbers, each a tuple of class indices; how many rows had no text.

    Raises
    ------
    UserError
        Naming file, row and column, where a file is not whole or an answer names no class.
    """
    blocks, empty = [], 0
    numbers: dict[tuple[int, ...] | None, int] = {None: -1}
    for number, path in enumerate(files):
        gold = sample.gold if with_gold[number] else None
        to_classes = gold_classes(path, gold, task)
        ids, golds, rows = bytearray(), [], []
        for row, text, value in readers.read_rows(path, sample, gold):
            answer = to_classes(row, value)
            if not keep_empty and not text.strip():
                empty += 1
                continue
            ids += bytes.fromhex(text_id(text))
            golds.append(numbers.setdefault(answer, len(numbers) - 1))
            rows.append(row)
            if len(rows) == BLOCK_ROWS:
                blocks.append(_block(ids, golds, number, rows))
                ids, golds, rows = bytearray(), [], []
        blocks.append(_block(ids, golds, number, rows))
    columns = ("ids", "golds", "files", "rows")
    joined = (np.concatenate([getattr(block, name) for block in blocks]) for name in columns)
    return Source(*joined), [answer for answer in numbers if answer is not None], empty


def _block(ids: bytearray, golds: list[int], file: int, rows: list[int]) -> Source:
    """Rows of one file as arrays."""
    return Source(
        np.frombuffer(bytes(ids), "V16"),
        np.array(golds, np.int32),
        np.full(len(rows), file, np.int32),
        np.array(rows, np.int64),
    )


def first_of_each(ids: np.ndarray) -> np.ndarray:
    """Indices of the first row of each id, in order. ids: N x 16 bytes."""
    halves = ids.view(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal ids the first comes first
    new = np.ones(len(order), bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(1)
    return np.sort(order[new])


def is_among(ids: np.ndarray, wanted: Collection[str]) -> np.ndarray:
    """Which ids are among the wanted ones.

    Parameters
    ----------
    ids : np.ndarray
        N x 16 bytes.
    wanted : collection of str
        Ids of 32 hex digits.

    Returns
    -------
    np.ndarray
        N bool.
    """
    return np.isin(ids, np.array([bytes.fromhex(identifier) for identifier in wanted], "V16"))


def read_texts(
    files: Sequence[Path], sample: Sample, source: Source
) -> tuple[pa.LargeStringArray, np.ndarray]:
    """The texts of a source, read from the files again.

    Parameters
    ----------
    files : sequence of Path
        The files that were scanned.
    sample : Sample
        Their format and columns.
    source : Source
        N rows of them, in any order.

    Returns
    -------
    tuple of (pa.LargeStringArray, np.ndarray)
        The N texts in the order of the files, and the position in it of each row's text, N indices.
    """
    order = np.lexsort((source.rows, source.files))
    positions = np.empty(len(order), np.int64)
    positions[order] = np.arange(len(order))
    blocks, block = [], []
    for number, path in enumerate(files):
        wanted = iter(source.rows[order[source.files[order] == number]].tolist())
        next_row = next(wanted, None)
        if next_row is None:
            continue
        for row, text, _ in readers.read_rows(path, sample, None):
            if row != next_row:
                continue
            block.append(text)
            if len(block) == BLOCK_ROWS:
                blocks.append(pa.array(block, pa.large_string()))
                block = []
            next_row = next(wanted, None)
            if next_row is None:
                break
    blocks.append(pa.array(block, pa.large_string()))
    return pa.concat_arrays(blocks), positions
