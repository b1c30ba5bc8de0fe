"""The drawn texts: pool, further texts, test and dev without near-duplicates between them, and their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels.core.params import Sample
from nolabels.core.schemas import GOLD, POOL, TEXTS
from nolabels.core.tables import table_writer, write_table
from nolabels.data.draw import draw, draw_as_notebook
from nolabels.data.duplicates import NearDuplicates
from nolabels.data.source import BLOCK_ROWS, Source, read_texts

GROUP_ROWS = 1 << 18  # rows that are written at a time
FURTHER = ("more", "clusters")  # texts of the pool's zone beside the pool, for the assistant and for encoders


@dataclass(frozen=True)
class Drawn:
    """The M drawn rows, first those of the pool (valid, train), then FURTHER, test and dev.

    Attributes
    ----------
    sizes : dict
        {"valid", "train", "more", "clusters", "test", "dev"}: how many rows each part has.
    rows : Source
        The M rows.
    texts : pa.LargeStringArray
        Their M texts, in the order of the files.
    positions : np.ndarray
        M indices: where the text of each row stands in `texts`.
    near_duplicates : int
        How many texts of pool and FURTHER are near-duplicates of a test or dev text.
    removed : int
        How many near-duplicates were left out.
    """

    sizes: dict[str, int]
    rows: Source
    texts: pa.LargeStringArray
    positions: np.ndarray
    near_duplicates: int
    removed: int

    def table(self, name: str) -> slice:
        """The rows of a table: pool, one of FURTHER, test or dev."""
        sizes = {"pool": self.sizes["valid"] + self.sizes["train"]}
        sizes |= {part: self.sizes[part] for part in (*FURTHER, "test", "dev")}
        start = sum(list(sizes.values())[: list(sizes).index(name)])
        return slice(start, start + sizes[name])


def draw_texts(
    files: Sequence[Path],
    sample: Sample,
    source: Source,
    answered: Mapping[str, np.ndarray],
    from_test: np.ndarray | None,
) -> Drawn:
    """Draws the parts and reads their texts.

    Where near-duplicates of test and dev texts are to be removed, the draw is repeated without them: others take
    their places, and may be near-duplicates too.

    Parameters
    ----------
    files : sequence of Path
        The files that were scanned.
    sample : Sample
        How they are read and what is drawn.
    source : Source
        N rows.
    answered : mapping
        {"test", "dev"}: N bool, the texts that people answered there.
    from_test : np.ndarray or None
        N bool, the texts of the test file; None where there is none.

    Returns
    -------
    Drawn

    Raises
    ------
    UserError
        Where there are too few texts.
    """
    method = draw_as_notebook if sample.method == "notebook" else draw
    left_out, guard = np.zeros(len(source), bool), None
    while True:
        parts = method(source.ids, source.golds, sample, answered, from_test, left_out)
        sizes = {name: len(parts[name]) for name in ("valid", "train", *FURTHER, "test", "dev")}
        indices = np.concatenate([parts[name] for name in sizes])
        rows = source.take(indices)
        texts, positions = read_texts(files, sample, rows)
        learned = len(indices) - sizes["test"] - sizes["dev"]
        if guard is None:
            unseen = texts.take(pa.array(positions[learned:]))
            guard = NearDuplicates(unseen.to_pylist(), sample.similarity)
        near = _near_duplicates(guard, texts, positions[:learned])
        if sample.near_duplicates == "keep" or not near.any():
            return Drawn(sizes, rows, texts, positions, int(near.sum()), int(left_out.sum()))
        left_out[indices[:learned][near]] = True


def _near_duplicates(guard: NearDuplicates, texts: pa.LargeStringArray, positions: np.ndarray) -> np.ndarray:
    """Which of the texts at N positions resemble a test or dev text: N bool."""
    near = np.zeros(len(positions), bool)
    for start in range(0, len(positions), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        near[block] = [guard.resembles(text) for text in texts.take(pa.array(positions[block])).to_pylist()]
    return near


def write_tables(
    folder: Path, drawn: Drawn, answers: Sequence[tuple[int, ...]], names: Sequence[str]
) -> None:
    """Writes pool, FURTHER, test and dev, and the answers of test and dev into files of their own.

    Parameters
    ----------
    folder : Path
        Where the tables go.
    drawn : Drawn
        The drawn texts.
    answers : sequence of tuple of int
        The answers that drawn.rows.golds numbers, each a tuple of class indices.
    names : sequence of str
        What a text can be labeled as.
    """
    split = np.repeat(["valid", "train"], [drawn.sizes["valid"], drawn.sizes["train"]])
    _write_texts(folder / "pool.parquet", POOL, drawn, "pool", split)
    for name in (*FURTHER, "test", "dev"):
        _write_texts(folder / f"{name}.parquet", TEXTS, drawn, name)
    for name, part in (("gold", "test"), ("dev_gold", "dev")):
        _write_gold(folder / f"{name}.parquet", drawn.rows.take(drawn.table(part)), answers, names)


def _write_texts(
    path: Path, schema: pa.Schema, drawn: Drawn, name: str, split: np.ndarray | None = None
) -> None:
    """A table of texts, in groups, so that ten million of them do not stand in memory twice."""
    table = drawn.table(name)
    source, positions = drawn.rows.take(table), drawn.positions[table]
    with table_writer(path, schema) as writer:
        for start in range(0, max(len(source), 1), GROUP_ROWS):
            rows = slice(start, start + GROUP_ROWS)
            columns = {
                "id": _hex_ids(source.ids[rows]),
                "text": drawn.texts.take(pa.array(positions[rows])).cast(pa.string()),
                "row": pa.array(source.rows[rows]),
            }
            if split is not None:
                columns["split"] = pa.array(split[rows])
            writer.write_table(pa.table(columns).select(schema.names).cast(writer.schema))


def _write_gold(path: Path, source: Source, answers: Sequence[tuple[int, ...]], names: Sequence[str]) -> None:
    known = source.take(source.golds >= 0)
    labels = pa.array([[names[index] for index in answer] for answer in answers], GOLD.field("labels").type)
    columns = {"id": _hex_ids(known.ids), "labels": labels.take(pa.array(known.golds))}
    write_table(path, pa.table(columns, schema=GOLD))


def _hex_ids(ids: np.ndarray) -> pa.StringArray:
    """N x 16 bytes as a column of 32 hex digits, without a Python object per id."""
    digits = np.frombuffer(ids.tobytes().hex().encode(), "S32")
    offsets = pa.py_buffer(np.arange(0, 32 * len(ids) + 1, 32, dtype=np.int64))
    column = pa.LargeStringArray.from_buffers(len(ids), offsets, pa.py_buffer(digits))
    return column.cast(pa.string())
